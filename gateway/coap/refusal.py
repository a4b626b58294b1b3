"""Which requests are refused before anyone is asked who sent them, with which code. Pure."""

from __future__ import annotations

from typing import NamedTuple

from gateway.coap import message as coap
from gateway.coap.message import Message, Request
from metering.envelope import MAX_PAYLOAD_BYTES
from metering.model import ContentFormat

REPORT_PATH = b"r"
AMPLIFICATION = 3
"""Answers to unverified sources are at most this many times as large as the request (DESIGN section 5.3)."""

FORMATS = frozenset(map(int, (ContentFormat.OCTET_STREAM, ContentFormat.JSON, ContentFormat.CBOR)))
"""Of a report that a device posts itself."""

_RESERVED_SZX = 7


class Refusal(NamedTuple):
    """`reason` is the metric label; `diagnostic` is for the person who reads the answer (RFC 7252 section 5.5.2)."""

    code: int
    reason: str
    option: tuple[int, bytes] | None = None
    diagnostic: bytes = b""


def is_report_path(path: list[bytes]) -> bool:
    """/r/{device}"""
    return len(path) == 2 and path[0] == REPORT_PATH


def refusal_of(message: Message, request: Request, max_payload_bytes: int) -> Refusal | None:
    """None when the request may go on. `max_payload_bytes` bounds a report in one datagram."""
    if request.bad_option is not None:
        return Refusal(coap.BAD_OPTION, "bad_option", None, b"option %d" % request.bad_option)
    if request.proxied:
        # RFC 7252 section 5.10.2: an endpoint that is no forward-proxy "MUST return the 5.05 (Proxying Not Supported)".
        return Refusal(coap.PROXYING_NOT_SUPPORTED, "proxying")
    if not is_report_path(request.path):
        return None
    if message.code != coap.POST:
        return Refusal(coap.METHOD_NOT_ALLOWED, "method", None, b"POST")
    if request.content_format not in FORMATS:
        return Refusal(coap.UNSUPPORTED_CONTENT_FORMAT, "content_format", None, b"42 50 60")
    if request.block1 is not None:
        return _block_refusal(request.block1, len(message.payload))
    if len(message.payload) > max_payload_bytes:
        return too_large(max_payload_bytes)
    return None


def _block_refusal(block1: int, payload_bytes: int) -> Refusal | None:
    """RFC 7959 section 2.2: NUM, M and SZX; a report of blocks is bounded by what an envelope takes."""
    number, szx = block1 >> 4, block1 & 7
    if szx == _RESERVED_SZX:
        return Refusal(coap.BAD_REQUEST, "block_size")
    if (number << (szx + 4)) + payload_bytes > MAX_PAYLOAD_BYTES:
        return too_large(MAX_PAYLOAD_BYTES)
    return None


def too_large(limit_bytes: int) -> Refusal:
    """RFC 7252 section 5.9.2.9: Size1 says what would be taken."""
    return Refusal(coap.REQUEST_ENTITY_TOO_LARGE, "too_large", (coap.SIZE1, coap.uint(limit_bytes)))


def answer_message(refusal: Refusal, kind: int, message_id: int, token: bytes, request_bytes: int) -> bytes:
    """The datagram of a refusal: its diagnostic is left out when it would grow beyond AMPLIFICATION."""
    options = [] if refusal.option is None else [refusal.option]
    answer = coap.encode(Message(kind, refusal.code, message_id, token, options, refusal.diagnostic))
    if len(answer) > AMPLIFICATION * request_bytes:
        answer = coap.encode(Message(kind, refusal.code, message_id, token, options, b""))
    return answer
