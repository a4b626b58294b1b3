"""Our CoAP messages against RFC 7252's rules and aiocoap's reading of them."""

import contextlib

import aiocoap
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulators import message
from simulators.message import HEAD, MessageFormatError, Type


@given(
    path=st.lists(st.text(min_size=1, max_size=300).filter(lambda text: len(text.encode()) <= 1000), max_size=5),
    content_format=st.sampled_from([None, 0, 42, 50, 60, 11542]),
    payload=st.binary(max_size=600),
    message_id=st.integers(0, 0xFFFF),
    token=st.integers(0, 0xFFFFFFFF),
)
def test_requests_are_read_alike_by_us_and_by_aiocoap(path, content_format, payload, message_id, token):
    head = HEAD.pack(message.first_byte(Type.CON), message.POST, message_id, token)
    datagram = head + message.request_tail(path, content_format, payload)

    ours = message.decode(datagram)
    theirs = aiocoap.Message.decode(datagram)

    assert ours.message_id == theirs.mid == message_id
    assert ours.token == theirs.token == token.to_bytes(4, "big")
    assert ours.payload == theirs.payload == payload
    assert list(theirs.opt.uri_path) == path
    assert theirs.opt.content_format == content_format
    assert ours.uint_option(message.CONTENT_FORMAT) == content_format


@given(st.binary(max_size=200))
def test_any_datagram_is_read_or_refused(datagram):
    with contextlib.suppress(MessageFormatError):
        message.decode(datagram)


@pytest.mark.parametrize(
    "datagram",
    [b"", b"\x40\x01\x00", b"\x80\x01\x00\x01", b"\x4f\x01\x00\x01", b"\x40\x01\x00\x01\xff", b"\x40\x01\x00\x01\xf0"],
    ids=["empty", "short", "version 2", "token of 15", "marker without payload", "reserved nibble"],
)
def test_malformed(datagram):
    with pytest.raises(MessageFormatError):
        message.decode(datagram)


def test_max_age_of_an_answer():
    answer = bytes((message.first_byte(Type.ACK), message.SERVICE_UNAVAILABLE)) + b"\x00\x07" + b"\x00\x00\x00\x01"
    answer += message.encode_options([(message.MAX_AGE, b"\x01\x2c")])
    assert message.decode(answer).uint_option(message.MAX_AGE) == 300
    assert message.code_text(message.SERVICE_UNAVAILABLE) == "5.03"
