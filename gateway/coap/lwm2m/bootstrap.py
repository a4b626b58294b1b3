"""Bootstrap (LwM2M core 1.2 section 6.1): which objects a client is given, and by which requests. Pure.

``DELETE /``, then the Security object (0), OSCORE object (21) and Server object (1), then Bootstrap-Finish.
"""

from __future__ import annotations

from typing import NamedTuple

from gateway.coap import message as coap
from gateway.coap.lwm2m import formats
from gateway.coap.lwm2m.exchange import DELETE, PUT, Ask
from gateway.coap.lwm2m.formats import ObjectLink, Value
from metering.credentials import OscoreSecret

SECURITY, SERVER, OSCORE = 0, 1, 21
PSK_MODE, NO_SECURITY = 0, 3
SHORT_SERVER_ID = 101


class Account(NamedTuple):
    """What the client shall know of the server. Without `psk` and `oscore` it speaks plain CoAP."""

    uri: str
    lifetime_s: int
    psk: tuple[bytes, bytes] | None = None
    """Identity and key."""
    oscore: tuple[bytes, OscoreSecret] | None = None
    """The client's Sender ID and what both sides derive from."""

    def __repr__(self) -> str:
        return f"Account({self.uri!r})"


def requests(account: Account, content_format: int) -> tuple[Ask, ...]:
    """In the order in which they are sent. `content_format`: TLV, SenML CBOR or LwM2M CBOR."""
    objects = [(SECURITY, _security(account))]
    if account.oscore is not None:
        objects.append((OSCORE, _oscore(*account.oscore)))
    objects.append((SERVER, {0: SHORT_SERVER_ID, 1: account.lifetime_s, 6: False, 7: "U"}))
    writes = (
        Ask(PUT, f"/{number}/0", formats.encode_instance(content_format, f"/{number}/0", values), content_format)
        for number, values in objects
    )
    return (Ask(DELETE, "/"), *writes, Ask(coap.POST, "/bs"))


def _security(account: Account) -> dict[int, Value]:
    """Resources 3, 4 and 5 are mandatory in LwM2M 1.0, if only empty. 17 links to the OSCORE object."""
    values: dict[int, Value] = {
        0: account.uri, 1: False, 2: NO_SECURITY, 3: b"", 4: b"", 5: b"", 10: SHORT_SERVER_ID
    }  # fmt: skip
    if account.psk is not None:
        values |= {2: PSK_MODE, 3: account.psk[0], 5: account.psk[1]}
    if account.oscore is not None:
        values[17] = ObjectLink(OSCORE, 0)
    return values


def _oscore(sender_id: bytes, secret: OscoreSecret) -> dict[int, Value]:
    """OMA object 21: master secret, sender and recipient id, salt, ID context. Its algorithms are left at their
    defaults, which are those of RFC 8613 section 3.2."""
    values: dict[int, Value] = {
        0: secret.master_secret, 1: sender_id, 2: secret.server_id, 5: secret.master_salt,
    }  # fmt: skip
    return values if secret.id_context is None else values | {6: secret.id_context}
