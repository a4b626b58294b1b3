"""CoAP messages (RFC 7252 section 3): bytes in, bytes out, no input or output.

Only what a meter needs: requests with options below 65,805 and bodies of one datagram.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from enum import IntEnum
from typing import NamedTuple

HEAD = struct.Struct("!BBHI")
"""Version, type and token length; code; message id; a token of four bytes."""
TOKEN_BYTES = 4
PAYLOAD_MARKER = 0xFF

URI_PATH, CONTENT_FORMAT, MAX_AGE = 11, 12, 14
DEFAULT_MAX_AGE_S = 60


class Type(IntEnum):
    CON = 0
    NON = 1
    ACK = 2
    RST = 3


EMPTY, GET, POST, CHANGED = 0x00, 0x01, 0x02, 0x44
SERVICE_UNAVAILABLE = 0xA3


class MessageFormatError(ValueError):
    """A datagram that is no CoAP message."""


class Message(NamedTuple):
    type: Type
    code: int
    message_id: int
    token: bytes
    options: list[tuple[int, bytes]]
    payload: bytes

    def uint_option(self, number: int) -> int | None:
        """Value of the first such option as RFC 7252 section 3.2 `uint`; None when it is absent."""
        return next((int.from_bytes(value, "big") for name, value in self.options if name == number), None)


def code_text(code: int) -> str:
    """`0x44` as `2.04`, as people write it."""
    return f"{code >> 5}.{code & 0x1F:02d}"


def first_byte(kind: Type, token_bytes: int = TOKEN_BYTES) -> int:
    return 0x40 | kind << 4 | token_bytes


def request_tail(path: Sequence[str], content_format: int | None = None, payload: bytes = b"") -> bytes:
    """Everything after the token: options and payload. Made once per report, sent as often as needed."""
    options = [(URI_PATH, segment.encode()) for segment in path]
    if content_format is not None:
        options.append((CONTENT_FORMAT, content_format.to_bytes((content_format.bit_length() + 7) // 8, "big")))
    return encode_options(options) + (b"\xff" + payload if payload else b"")


def encode_options(options: Iterable[tuple[int, bytes]]) -> bytes:
    """Options in ascending order of number; values up to 65,804 bytes (RFC 7252 section 3.1)."""
    out = bytearray()
    previous = 0
    for number, value in options:
        delta, delta_more = _nibble(number - previous)
        length, length_more = _nibble(len(value))
        out.append(delta << 4 | length)
        out += delta_more + length_more + value
        previous = number
    return bytes(out)


def _nibble(value: int) -> tuple[int, bytes]:
    if value < 13:
        return value, b""
    if value < 269:
        return 13, bytes((value - 13,))
    return 14, (value - 269).to_bytes(2, "big")


def decode(datagram: bytes) -> Message:
    """The message in a datagram. Raises MessageFormatError, never anything else."""
    if len(datagram) < 4 or datagram[0] >> 6 != 1:
        raise MessageFormatError("not CoAP version 1")
    token_end = 4 + (datagram[0] & 0x0F)
    if token_end > 12 or token_end > len(datagram):
        raise MessageFormatError("token does not fit")
    options, payload = _decode_options(datagram, token_end)
    kind = Type(datagram[0] >> 4 & 3)
    return Message(kind, datagram[1], datagram[2] << 8 | datagram[3], datagram[4:token_end], options, payload)


def _decode_options(datagram: bytes, at: int) -> tuple[list[tuple[int, bytes]], bytes]:
    options: list[tuple[int, bytes]] = []
    number = 0
    while at < len(datagram):
        head = datagram[at]
        if head == PAYLOAD_MARKER:
            if at + 1 == len(datagram):
                raise MessageFormatError("payload marker without payload")
            return options, datagram[at + 1 :]
        delta, at = _extended(datagram, at + 1, head >> 4)
        length, at = _extended(datagram, at, head & 0x0F)
        if at + length > len(datagram):
            raise MessageFormatError("option does not fit")
        number += delta
        options.append((number, datagram[at : at + length]))
        at += length
    return options, b""


def _extended(datagram: bytes, at: int, nibble: int) -> tuple[int, int]:
    if nibble < 13:
        return nibble, at
    size = nibble - 12
    if nibble == 15 or at + size > len(datagram):
        raise MessageFormatError("option header does not fit")
    return int.from_bytes(datagram[at : at + size], "big") + (13 if nibble == 13 else 269), at + size
