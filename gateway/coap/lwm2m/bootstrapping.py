"""The requests of a bootstrap, one after the other to one client."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from gateway.coap import message as coap
from gateway.coap.lwm2m import bootstrap, formats
from gateway.coap.lwm2m.bootstrap import Account
from gateway.coap.lwm2m.exchange import Ask, Reply

_PREFERRED = b"pct="


class Asks(Protocol):
    async def ask(self, ask: Ask) -> Reply | None: ...


class Bootstrapping:
    """`formats` are tried in their order while the client answers 4.15."""

    def __init__(self, account: Account, formats: tuple[int, ...]) -> None:
        self._account, self._formats = account, formats

    async def run(self, client: Asks) -> bool:
        """Whether the client took everything that it has room for: one without the OSCORE object, such as Anjay's free
        edition, is given its other key alone, and nothing when it has none. Raises AsleepError."""
        account, formats = self._account, list(self._formats)
        while formats:
            ask, reply = await self._write(client, account, formats[0])
            if ask is None:
                return True
            if reply is None:
                return False
            if reply.code == coap.UNSUPPORTED_CONTENT_FORMAT:
                formats.pop(0)
            elif ask.path.startswith(f"/{bootstrap.OSCORE}/") and account.psk is not None:
                account = account._replace(oscore=None)
            else:
                return False
        return False

    async def _write(self, client: Asks, account: Account, content_format: int) -> tuple[Ask | None, Reply | None]:
        """What the client refused, and how; None when nothing."""
        for ask in bootstrap.requests(account, content_format):
            reply = await client.ask(ask)
            if reply is None or not reply.success:
                return ask, reply
        return None, None


def formats_for(query: Iterable[bytes]) -> tuple[int, ...]:
    """What the client prefers (``pct``, LwM2M core 1.2), then TLV, which all of 1.0 know, then the others. What version
    a client speaks is not said when it bootstraps."""
    said = next((part[len(_PREFERRED) :] for part in query if part.startswith(_PREFERRED)), b"")
    known = (formats.TLV, formats.SENML_CBOR, formats.LWM2M_CBOR)
    preferred = [each for each in known if said == b"%d" % each]
    return tuple(dict.fromkeys([*preferred, *known]))
