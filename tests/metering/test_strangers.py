"""What gateways tell of unknown devices: it comes back clean, whatever somebody called himself."""

from __future__ import annotations

import cbor2
import pytest

from metering.errors import EnvelopeError
from metering.model import Door
from metering.strangers import MAX_BYTES, MAX_KNOCKS, Knock, cleaned, decode_knocks, encode_knocks

KNOCK = Knock("861234567890123", Door.COAP, "10.1.2.3", "unknown_device", 3)


def test_knocks_come_back() -> None:
    assert decode_knocks(encode_knocks([KNOCK, KNOCK._replace(name="表")])) == [KNOCK, KNOCK._replace(name="表")]


@pytest.mark.parametrize(
    ("name", "expected"),
    [("a\0b\nc", "a?b?c"), ("\x1b[31mred", "?[31mred"), ("\u202egnp", "?gnp"), ("\ud800", "?"), ("x" * 99, "x" * 64)],
)
def test_names_are_cleaned(name: str, expected: str) -> None:
    assert cleaned(name, 64) == expected


def test_what_a_gateway_tells_is_not_trusted() -> None:
    body = cbor2.dumps([["\x00" * 99, "coap", "\n" * 99, "r\n" * 99, 10**12]] * (MAX_KNOCKS + 5))
    found = decode_knocks(body)
    assert len(found) == MAX_KNOCKS
    assert (found[0].name, len(found[0].source), len(found[0].reason)) == ("?" * 64, 64, 32)
    assert found[0].knocks < 2**32


@pytest.mark.parametrize(
    "body",
    [b"", b"\xff", cbor2.dumps(5), cbor2.dumps([["a"]]), cbor2.dumps([["a", "window", "", "", 1]]),
     cbor2.dumps([["a", "coap", "", "", "many"]]), bytes(MAX_BYTES + 1)],
)  # fmt: skip
def test_what_is_no_list_of_knocks_is_refused(body: bytes) -> None:
    with pytest.raises(EnvelopeError):
        decode_knocks(body)
