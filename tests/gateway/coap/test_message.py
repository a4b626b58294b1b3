"""The message format: vectors, each with the rule it stands for, and properties."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.coap import message as coap
from gateway.coap.message import Malformed, Message, encode, parse, read_request

POST_REPORT = bytes.fromhex("42027d34beef") + b"\xb1r\x03dev\x11\x3c\xff\xa0"


def test_a_confirmable_post_with_token_path_format_and_payload() -> None:
    options = [(coap.URI_PATH, b"r"), (coap.URI_PATH, b"dev"), (coap.CONTENT_FORMAT, b"\x3c")]
    assert parse(POST_REPORT) == Message(coap.CON, coap.POST, 0x7D34, b"\xbe\xef", options, b"\xa0")
    assert read_request(options) == coap.Request([b"r", b"dev"], 60, None, False, None)


def test_the_example_of_rfc_7252_appendix_a() -> None:
    # Figure 16: CON GET 0x7d34 with Uri-Path "temperature" (11 characters), answered by a piggybacked 2.05 "22.3 C".
    request = bytes.fromhex("40017d34bb74656d7065726174757265")
    assert parse(request) == Message(coap.CON, coap.GET, 0x7D34, b"", [(11, b"temperature")], b"")
    assert parse(bytes.fromhex("60457d34ff32322e332043")) == Message(coap.ACK, 0x45, 0x7D34, b"", [], b"22.3 C")


@pytest.mark.parametrize(
    ("datagram", "why"),
    [
        ("", "empty datagram"),
        ("400100", "shorter than a header"),
        ("00010000", "version 0"),
        ("80010000", "version 2"),
        ("c0010000", "version 3"),
        ("16030100", "a TLS handshake"),
        ("24010000", "SIP or noise"),
    ],
)
def test_what_is_not_coap(datagram: str, why: str) -> None:
    assert parse(bytes.fromhex(datagram)) is None, why


@pytest.mark.parametrize(
    ("datagram", "reason"),
    [
        ("4901000100000000000000000000", "token"),  # token length 9 is reserved
        ("4f0100010000", "token"),
        ("44010001aabb", "token"),  # token cut off
        ("4000000101", "not_empty"),  # an empty message with a byte after the ID
        ("4100000101", "not_empty"),
        ("40200001", "code_class"),  # class 1
        ("40c00001", "code_class"),  # class 6
        ("40e00001", "code_class"),  # class 7
        ("40020001b3", "options"),  # value cut off
        ("40020001d1", "options"),  # extended delta cut off
        ("40020001e100", "options"),
        ("400200011d", "options"),  # extended length cut off
        ("40020001f1", "options"),  # delta 15 without being the marker
        ("400200011f", "options"),  # length 15 is reserved
        ("40020001ff", "payload"),  # marker without payload
        ("40020001b172ff", "payload"),
        ("40020001e0ffff00", "options"),  # option number beyond 65535
    ],
)
def test_message_format_errors(datagram: str, reason: str) -> None:
    parsed = parse(bytes.fromhex(datagram))
    assert isinstance(parsed, Malformed)
    assert (parsed.reason, parsed.message_id) == (reason, 1)


MESSAGES = st.builds(
    lambda kind, code, mid, token, options, payload: Message(
        kind, code, mid, token, sorted(options, key=lambda option: option[0]), payload
    ),
    st.integers(0, 3),
    st.integers(1, 31) | st.integers(0x40, 0xBF),
    st.integers(0, 0xFFFF),
    st.binary(max_size=8),
    st.lists(st.tuples(st.integers(0, 0xFFFF), st.binary(max_size=300)), max_size=8),
    st.binary(max_size=1024),
)


@given(MESSAGES)
def test_what_is_encoded_is_parsed_again(message: Message) -> None:
    assert parse(encode(message)) == message


@given(st.binary(max_size=64))
def test_parse_takes_anything(datagram: bytes) -> None:
    parsed = parse(datagram)
    assert parsed is None or isinstance(parsed, (Message, Malformed))
    if isinstance(parsed, Message):
        assert parse(encode(parsed)) == parsed


@given(MESSAGES, st.data())
def test_a_truncated_message_never_raises(message: Message, data: st.DataObject) -> None:
    datagram = encode(message)
    parse(datagram[: data.draw(st.integers(0, len(datagram)))])


@pytest.mark.parametrize(
    ("options", "bad"),
    [
        ([(9, b"")], 9),  # OSCORE is not spoken here yet
        ([(1, b"x")], 1),  # If-Match: preconditions are not evaluated
        ([(coap.URI_HOST, b"a"), (coap.URI_HOST, b"b")], coap.URI_HOST),  # section 5.4.5: must not repeat
        ([(coap.URI_PORT, b"123")], coap.URI_PORT),  # section 5.4.3: longer than two bytes
        ([(coap.URI_PATH, b"x" * 256)], coap.URI_PATH),
        ([(65001, b"")], 65001),
        ([(6, b""), (65000, b"")], None),  # even: elective
        ([(coap.CONTENT_FORMAT, b"\x00\x00\x3c")], None),
    ],
)
def test_critical_options(options: list[tuple[int, bytes]], bad: int | None) -> None:
    assert read_request(options).bad_option == bad


def test_uint_codes_and_limits_of_encode() -> None:
    assert [coap.uint(value) for value in (0, 1, 255, 256, 65536)] == [
        b"",
        b"\x01",
        b"\xff",
        b"\x01\x00",
        b"\x01\x00\x00",
    ]
    assert coap.code_of("4.01") == coap.UNAUTHORIZED
    assert coap.code_name(coap.REQUEST_ENTITY_TOO_LARGE) == "4.13"
    with pytest.raises(ValueError, match="token"):
        encode(Message(0, 1, 0, b"123456789", [], b""))
    with pytest.raises(ValueError, match="rise"):
        encode(Message(0, 1, 0, b"", [(11, b""), (3, b"")], b""))
