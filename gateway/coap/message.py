"""CoAP's message format (RFC 7252 section 3) and the reading of request options (section 5.4). Bytes in, values out.

`parse` takes any bytes whatever and never raises; what it returns says what may be answered::

    Message     well-formed
    Malformed   CoAP by its version, but a message format error: a confirmable one may be reset (section 4.2)
    None        not CoAP, or another version: silence (section 3)
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

VERSION = 1
CON, NON, ACK, RST = range(4)

EMPTY = 0x00
GET = 0x01
POST = 0x02
CHANGED = 0x44  # 2.04
BAD_REQUEST = 0x80  # 4.00
UNAUTHORIZED = 0x81  # 4.01
BAD_OPTION = 0x82  # 4.02
NOT_FOUND = 0x84  # 4.04
METHOD_NOT_ALLOWED = 0x85  # 4.05
REQUEST_ENTITY_TOO_LARGE = 0x8D  # 4.13
UNSUPPORTED_CONTENT_FORMAT = 0x8F  # 4.15
SERVICE_UNAVAILABLE = 0xA3  # 5.03
PROXYING_NOT_SUPPORTED = 0xA5  # 5.05

URI_HOST = 3
URI_PORT = 7
URI_PATH = 11
CONTENT_FORMAT = 12
MAX_AGE = 14
URI_QUERY = 15
ACCEPT = 17
BLOCK2 = 23
BLOCK1 = 27
PROXY_URI = 35
PROXY_SCHEME = 39
SIZE1 = 60

_KNOWN_CRITICAL = frozenset({URI_HOST, URI_PORT, URI_PATH, URI_QUERY, ACCEPT, BLOCK2, BLOCK1, PROXY_URI, PROXY_SCHEME})
_REPEATABLE = frozenset({URI_PATH, URI_QUERY})
_LONGEST_VALUE = {URI_HOST: 255, URI_PORT: 2, URI_PATH: 255, URI_QUERY: 255, ACCEPT: 2, BLOCK2: 3, BLOCK1: 3}
_PAYLOAD_MARKER = 0xFF
_RESERVED_CLASSES = frozenset({1, 6, 7})


class Message(NamedTuple):
    """`options`: (number, value) in the order of the wire, numbers rising."""

    type: int
    code: int
    message_id: int
    token: bytes
    options: list[tuple[int, bytes]]
    payload: bytes


class Malformed(NamedTuple):
    type: int
    message_id: int
    reason: str


class Request(NamedTuple):
    """What the options of a request ask for. `bad_option`: a critical option this server does not understand."""

    path: list[bytes]
    content_format: int | None
    block1: int | None
    proxied: bool
    bad_option: int | None


class _FormatError(Exception):
    """A message format error; the argument is a short word for metrics."""


def parse(datagram: bytes) -> Message | Malformed | None:
    """The message in a datagram; see the module for the three outcomes."""
    size = len(datagram)
    # RFC 7252 section 3: "Messages with unknown version numbers MUST be silently ignored."
    if size < 4 or datagram[0] >> 6 != VERSION:
        return None
    first, code = datagram[0], datagram[1]
    kind, message_id = first >> 4 & 3, datagram[2] << 8 | datagram[3]
    token_end = 4 + (first & 15)
    # Section 3: token lengths 9 to 15 "MUST NOT be sent and MUST be processed as a message format error".
    if token_end > 12 or token_end > size:
        return Malformed(kind, message_id, "token")
    # Section 4.1: an empty message ends after the message ID; "if there are any bytes, they MUST be processed as a
    # message format error". Section 4.2 says the same of the reserved code classes 1, 6 and 7.
    if code == EMPTY and size != 4:
        return Malformed(kind, message_id, "not_empty")
    if code >> 5 in _RESERVED_CLASSES:
        return Malformed(kind, message_id, "code_class")
    options: list[tuple[int, bytes]] = []
    try:
        payload_start = _parse_options(datagram, token_end, size, options)
    except _FormatError as error:
        return Malformed(kind, message_id, str(error))
    return Message(kind, code, message_id, datagram[4:token_end], options, datagram[payload_start:])


def _parse_options(datagram: bytes, at: int, size: int, options: list[tuple[int, bytes]]) -> int:
    """Fill `options` from section 3.1's encoding; the position of the payload (= size when there is none)."""
    number = 0
    while at < size:
        head = datagram[at]
        at += 1
        if head == _PAYLOAD_MARKER:
            # Section 3: "The presence of a marker followed by a zero-length payload MUST be processed as a message
            # format error."
            if at == size:
                raise _FormatError("payload")
            return at
        delta, length = head >> 4, head & 15
        if delta > 12:
            delta, at = _extended(datagram, at, size, delta)
        if length > 12:
            length, at = _extended(datagram, at, size, length)
        number += delta
        end = at + length
        if end > size or number > 0xFFFF:
            raise _FormatError("options")
        options.append((number, datagram[at:end]))
        at = end
    return size


def _extended(datagram: bytes, at: int, size: int, nibble: int) -> tuple[int, int]:
    """Section 3.1: nibble 13 adds one byte to 13, 14 two bytes to 269, and 15 is reserved for the payload marker."""
    if nibble == 13 and at < size:
        return 13 + datagram[at], at + 1
    if nibble == 14 and at + 1 < size:
        return 269 + (datagram[at] << 8 | datagram[at + 1]), at + 2
    raise _FormatError("options")


def encode(message: Message) -> bytes:
    """The datagram of a message whose options stand in rising order. Raises ValueError for what cannot be sent."""
    if len(message.token) > 8:
        raise ValueError("a token has at most 8 bytes")
    out = bytearray((VERSION << 6 | message.type << 4 | len(message.token), message.code))
    out += message.message_id.to_bytes(2, "big") + message.token
    before = 0
    for number, value in message.options:
        if number < before:
            raise ValueError("options must rise")
        delta, delta_tail = _nibble(number - before)
        length, length_tail = _nibble(len(value))
        out.append(delta << 4 | length)
        out += delta_tail + length_tail + value
        before = number
    if message.payload:
        out.append(_PAYLOAD_MARKER)
        out += message.payload
    return bytes(out)


def _nibble(value: int) -> tuple[int, bytes]:
    if value < 13:
        return value, b""
    if value < 269:
        return 13, bytes((value - 13,))
    return 14, (value - 269).to_bytes(2, "big")


def uint(value: int) -> bytes:
    """Section 3.2: an unsigned integer in as few bytes as it takes; zero takes none."""
    return value.to_bytes((value.bit_length() + 7) // 8, "big")


def code_of(dotted: str) -> int:
    """The code byte of "4.01"."""
    return int(dotted[0]) << 5 | int(dotted[2:])


def code_name(code: int) -> str:
    """ "4.01" of a code byte."""
    return f"{code >> 5}.{code & 31:02d}"


def read_request(options: Iterable[tuple[int, bytes]]) -> Request:
    """What a request's options ask for; elective ones that are unknown or badly sized are ignored (section 5.4.1)."""
    path: list[bytes] = []
    content_format = block1 = bad_option = None
    proxied = False
    previous = 0
    for number, value in options:
        if number == URI_PATH and len(value) <= _LONGEST_VALUE[URI_PATH]:
            path.append(value)
        elif number == CONTENT_FORMAT:
            if content_format is None and len(value) <= 2:
                content_format = int.from_bytes(value, "big")
        elif number & 1:  # section 5.4.6: odd numbers are critical
            if _is_bad(number, value, previous):
                bad_option = bad_option or number
            elif number == BLOCK1:
                block1 = int.from_bytes(value, "big")
            elif number in (PROXY_URI, PROXY_SCHEME):
                proxied = True
        previous = number
    return Request(path, content_format, block1, proxied, bad_option)


def _is_bad(number: int, value: bytes, previous: int) -> bool:
    """Section 5.4.3 and 5.4.5: a value out of bounds, or a repeat of what must not repeat, is as if unrecognised."""
    if number not in _KNOWN_CRITICAL or len(value) > _LONGEST_VALUE.get(number, 1034):
        return True
    return number == previous and number not in _REPEATABLE
