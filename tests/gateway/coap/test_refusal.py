from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.coap import message as coap
from gateway.coap.message import Message, read_request
from gateway.coap.refusal import AMPLIFICATION, Refusal, answer_message, refusal_of

R, DEVICE, CBOR = (coap.URI_PATH, b"r"), (coap.URI_PATH, b"dev"), (coap.CONTENT_FORMAT, b"\x3c")


@pytest.mark.parametrize(
    ("code", "options", "payload", "expected"),
    [
        (coap.POST, [R, DEVICE, CBOR], b"x" * 100, None),
        (coap.POST, [R, DEVICE, (coap.CONTENT_FORMAT, b"\x2a")], b"x", None),
        (coap.POST, [R, DEVICE, (coap.CONTENT_FORMAT, b"\x32")], b"x", None),
        (coap.POST, [R, DEVICE, CBOR], b"x" * 101, coap.REQUEST_ENTITY_TOO_LARGE),
        (coap.POST, [R, DEVICE], b"x", coap.UNSUPPORTED_CONTENT_FORMAT),
        (coap.POST, [R, DEVICE, (coap.CONTENT_FORMAT, b"")], b"x", coap.UNSUPPORTED_CONTENT_FORMAT),
        (coap.GET, [R, DEVICE], b"", coap.METHOD_NOT_ALLOWED),
        (31, [R, DEVICE], b"", coap.METHOD_NOT_ALLOWED),
        (coap.POST, [(9, b""), R, DEVICE, CBOR], b"x", coap.BAD_OPTION),
        (coap.GET, [(coap.PROXY_URI, b"coap://x")], b"", coap.PROXYING_NOT_SUPPORTED),
        (coap.POST, [R, DEVICE, CBOR, (coap.BLOCK1, b"\x07")], b"x", coap.BAD_REQUEST),
        (coap.POST, [R, DEVICE, CBOR, (coap.BLOCK1, b"\x0e")], b"x" * 1024, None),
        (coap.POST, [R, DEVICE, CBOR, (coap.BLOCK1, b"\x04\x06")], b"x", coap.REQUEST_ENTITY_TOO_LARGE),  # 64th KiB
        (coap.GET, [(coap.URI_PATH, b"x")], b"", None),  # the slow lane knows its paths
    ],
)
def test_refusals(code: int, options: list[tuple[int, bytes]], payload: bytes, expected: int | None) -> None:
    refusal = refusal_of(Message(coap.CON, code, 1, b"", options, payload), read_request(options), 100)
    assert (refusal and refusal.code) == expected


def test_too_large_says_what_would_be_taken() -> None:
    options = [R, DEVICE, CBOR]
    refusal = refusal_of(Message(0, coap.POST, 1, b"", options, b"x" * 2000), read_request(options), 1024)
    assert refusal is not None
    assert refusal.option == (coap.SIZE1, b"\x04\x00")


@given(st.binary(max_size=8), st.binary(max_size=200), st.integers(0, 60))
def test_answers_never_grow_beyond_the_bound(token: bytes, diagnostic: bytes, more: int) -> None:
    request_bytes = 4 + len(token) + more
    answer = answer_message(
        Refusal(coap.SERVICE_UNAVAILABLE, "x", (coap.MAX_AGE, b"\x3c"), diagnostic), coap.ACK, 1, token, request_bytes
    )
    assert len(answer) <= AMPLIFICATION * request_bytes
