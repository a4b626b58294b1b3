"""The OSCORE option and the usual protected datagram."""

from __future__ import annotations

import random

import pytest

from gateway.coap import message as coap
from gateway.coap.oscore.option import OSCORE, OptionError, read_protected, read_request_option, response_option


@pytest.mark.parametrize(
    ("value", "read"),
    [
        ("0914", (b"\x14", b"", None)),
        ("091400", (b"\x14", b"\x00", None)),
        ("19140837cbf3210017a2d3", (b"\x14", b"", bytes.fromhex("37cbf3210017a2d3"))),
        ("0900", (b"\x00", b"", None)),
        ("0dffffffffff01020304050607", (b"\xff" * 5, bytes(range(1, 8)), None)),
        ("19000041", (b"\x00", b"\x41", b"")),
    ],
)
def test_options_of_requests(value: str, read: tuple[bytes, bytes, bytes | None]) -> None:
    assert read_request_option(bytes.fromhex(value)) == read


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("", "neither Partial IV nor kid"),
        ("08", "no Partial IV"),
        ("0114", "no kid"),
        ("0e010203040506", "Partial IV of 6 bytes"),
        ("0f01020304050607", "Partial IV of 7 bytes"),
        ("2914", "a reserved bit"),
        ("4914", "a reserved bit"),
        ("8914", "a reserved bit"),
        ("0b14", "Partial IV cut"),
        ("1914", "kid context cut"),
        ("191405aabb", "kid context cut"),
        ("09140102030405060708", "kid of 8 bytes"),
        ("0a0001", "a leading zero"),
    ],
)
def test_malformed_options(value: str, why: str) -> None:
    with pytest.raises(OptionError):
        read_request_option(bytes.fromhex(value))


def test_options_of_answers() -> None:
    assert response_option(b"") == b""
    assert response_option(b"\x01\x00") == b"\x02\x01\x00"


def test_what_is_read_in_one_go_is_read_alike_by_the_parser() -> None:
    rng = random.Random(1)
    usual = bytes.fromhex("44025d1f00003974") + b"\x93\x09\x14\x0a\xff" + bytes(20)
    read = 0
    for _ in range(20_000):
        datagram = bytearray(usual[: rng.randrange(len(usual) + 1)])
        for _ in range(rng.randrange(3)):
            if datagram:
                datagram[rng.randrange(len(datagram))] = rng.randrange(256)
        found = read_protected(bytes(datagram))
        if found is None:
            continue
        read += 1
        parsed = coap.parse(bytes(datagram))
        assert isinstance(parsed, coap.Message)
        kind, token_end, option, ciphertext = found
        assert parsed[:2] == (kind, coap.POST)
        assert (parsed.token, parsed.options, parsed.payload) == (
            bytes(datagram[4:token_end]), [(OSCORE, option)], ciphertext,
        )  # fmt: skip
    assert read > 1000
