"""The frame of CJ/T 188 (2004 and 2018), found among what modems put around it (PROTOCOLS A).

    [FE × 0..4]  68  T  A0…A6  C  L  DI DI  SER  data …  CS  16        L counts DI, SER and data

Reasons of refusal: [empty], [too_long], [marker] a text in place of a
frame, [no_frame], [truncated], [checksum].
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple

from metering.errors import DecodeError
from metering.model import AHEAD_S, EARLIEST_S

from .instants import CHINA

START, END = 0x68, 0x16
OVERHEAD = 13
MIN_LENGTH = 3
MAX_PAYLOAD_BYTES = 4_096
METER_TYPES = (*range(0x10, 0x50), 0xAA)
"""T: water 10–19, heat 20–29, gas 30–39, electricity and custom 40–49; AA is the wildcard."""

CONTROL_REPLY, CONTROL_ERROR, CONTROL_MORE = 0x80, 0x40, 0x20

_DI_HIGH = frozenset((0x81, 0x90, 0xA0, 0xA1, 0xD1, 0xD2, 0xD3))
_BCD = {(tens << 4) | ones: tens * 10 + ones for tens in range(10) for ones in range(10)}


class Frame(NamedTuple):
    meter_type: int
    address: bytes
    """A0 … A6 as sent, lowest first."""
    control: int
    di: int
    di_high_first: bool
    """Byte order in which this meter sends DI; commands to it use the same."""
    serial_number: int
    data: bytes

    @property
    def is_reply(self) -> bool:
        return bool(self.control & CONTROL_REPLY)

    @property
    def meter_address(self) -> str | None:
        """All 14 digits, highest first; None when a wildcard or garbage stands there."""
        return digits(self.address)


def find(payload: bytes) -> Frame:
    """The first whole frame from a meter in the payload, else the first whole frame. Raises DecodeError."""
    if not payload:
        raise DecodeError("empty", "the payload is empty")
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise DecodeError("too_long", f"{len(payload)} bytes is no frame of this standard")
    frames = list(_frames(payload)) or list(_frames(_from_hex_text(payload)))
    if not frames:
        raise _refusal(payload)
    return next((frame for frame in frames if frame.is_reply), frames[0])


def _frames(payload: bytes) -> Iterator[Frame]:
    at = payload.find(START)
    while at >= 0:
        frame = _frame_at(payload, at)
        if frame is not None:
            yield frame
        at = payload.find(START, at + 1 if frame is None else at + OVERHEAD + payload[at + 10])


def _frame_at(payload: bytes, at: int) -> Frame | None:
    end = _end_at(payload, at)
    if end is None or sum(payload[at:end]) & 0xFF != payload[end]:
        return None
    if payload[at + 10] < MIN_LENGTH:  # error replies carry SER and status only
        return Frame(payload[at + 1], payload[at + 2 : at + 9], payload[at + 9], 0, False, 0, payload[at + 11 : end])
    first, second = payload[at + 11], payload[at + 12]
    high_first = first in _DI_HIGH
    di = (first << 8 | second) if high_first else (second << 8 | first)
    return Frame(
        payload[at + 1], payload[at + 2 : at + 9], payload[at + 9], di, high_first, payload[at + 13],
        payload[at + 14 : end],
    )  # fmt: skip


def _end_at(payload: bytes, at: int) -> int | None:
    """Position of the checksum of a frame that would start at `at`; None when none of its shape does."""
    if len(payload) < at + OVERHEAD or payload[at + 1] not in METER_TYPES:
        return None
    end = at + OVERHEAD - 2 + payload[at + 10]
    return end if len(payload) > end + 1 and payload[end + 1] == END else None


def _from_hex_text(payload: bytes) -> bytes:
    """Some modules send the frame as hexadecimal text."""
    try:
        return bytes.fromhex(payload.decode("ascii"))
    except ValueError:
        return b""


def _refusal(payload: bytes) -> DecodeError:
    if payload.isascii() and all(byte >= 0x20 or byte in b"\r\n\t" for byte in payload) and payload[0] != START:
        return DecodeError("marker", f"a text, not a meter's frame: {payload[:40].decode('ascii')!r}")
    starts = [at for at, byte in enumerate(payload) if byte == START and payload[at + 1 : at + 2] != b""]
    starts = [at for at in starts if payload[at + 1] in METER_TYPES]
    if any(_end_at(payload, at) is not None for at in starts):
        return DecodeError("checksum", "the checksum of the frame is wrong")
    if any(len(payload) < at + OVERHEAD + (payload[at + 10] if len(payload) > at + 10 else 0) for at in starts):
        return DecodeError("truncated", "the frame ends before its length says")
    return DecodeError("no_frame", "no frame 68 … 16 in the payload")


def digits(little_endian: bytes) -> str | None:
    """The digits of BCD bytes sent lowest first; None when one is no digit."""
    text = little_endian[::-1].hex()
    return text if text.isdigit() else None


def number(little_endian: bytes) -> int | None:
    """The number in BCD bytes sent lowest first; None when one is no digit."""
    text = digits(little_endian)
    return None if text is None else int(text)


def instant(highest_first: bytes, now_s: int) -> int | None:
    """Unix seconds of a clock given as BCD bytes CC YY MM DD hh mm ss; None when it cannot be right at `now_s`."""
    try:
        century, year, month, day, hour, minute, second = map(_BCD.__getitem__, highest_first)
        clock = datetime(century * 100 + year, month, day, hour, minute, second, tzinfo=CHINA)
    except (KeyError, ValueError):
        return None
    unix_s = int(clock.timestamp())
    return unix_s if EARLIEST_S <= unix_s <= now_s + AHEAD_S else None
