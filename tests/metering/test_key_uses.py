"""Uses of keys as gateways tell them."""

from __future__ import annotations

import cbor2
import pytest

from metering.credentials import CredentialKind
from metering.errors import EnvelopeError
from metering.key_uses import MAX_BYTES, MAX_USES, KeyUse, decode_uses, encode_uses


def test_uses_come_back() -> None:
    uses = [KeyUse(CredentialKind.OSCORE, b"\x01\x02"), KeyUse(CredentialKind.PSK, b"861~2")]
    assert decode_uses(encode_uses(uses)) == uses
    assert len(decode_uses(encode_uses(uses * MAX_USES))) == MAX_USES


@pytest.mark.parametrize(
    "body",
    [b"\xff", cbor2.dumps({}), cbor2.dumps([[9, b"a"]]), cbor2.dumps([[1, "text"]]), cbor2.dumps([[1, b"x" * 65]]),
     bytes(MAX_BYTES + 1)],
)  # fmt: skip
def test_anything_else_is_refused(body: bytes) -> None:
    with pytest.raises(EnvelopeError):
        decode_uses(body)
