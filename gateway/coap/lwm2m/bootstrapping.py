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
        """Whether the client took everything. Raises AsleepError."""
        for content_format in self._formats:
            refused = None
            for ask in bootstrap.requests(self._account, content_format):
                reply = await client.ask(ask)
                if reply is None or not reply.success:
                    refused = reply
                    break
            else:
                return True
            if refused is None or refused.code != coap.UNSUPPORTED_CONTENT_FORMAT:
                return False
        return False


def formats_for(query: Iterable[bytes]) -> tuple[int, ...]:
    """What the client prefers (``pct``, LwM2M core 1.2), then TLV, which all of 1.0 know, then the others. What version
    a client speaks is not said when it bootstraps."""
    said = next((part[len(_PREFERRED) :] for part in query if part.startswith(_PREFERRED)), b"")
    known = (formats.TLV, formats.SENML_CBOR, formats.LWM2M_CBOR)
    preferred = [each for each in known if said == b"%d" % each]
    return tuple(dict.fromkeys([*preferred, *known]))
