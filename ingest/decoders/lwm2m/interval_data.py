"""The binary payloads of the South East Water objects (OMA registry, objects 10266–10285).

Intervals (6029, 6009), one block after the other without anything between:

    u8 2 | u16 class | u32 end of the first interval, Unix s | u32 period s | u16 intervals | u8 values an interval
    | u8 bits of each value … | values, bit by bit

Alarms (6025): ``u8 2 | u16 event code | u8 event type | u32 Unix s | u8 state``, one after the other.

The registry does not say in which order the bytes of a number go, and it was never seen on a wire (PROTOCOLS B): the
configured order is tried first, and the other where that gives what cannot be.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

from metering.errors import DecodeError
from metering.model import AHEAD_S, EARLIEST_S

from ..contract import MAX_READINGS

ByteOrder = Literal["big", "little"]
ORDERS: Final[tuple[ByteOrder, ByteOrder]] = ("big", "little")
FORMAT: Final = 2
HEAD_BYTES: Final = 14
ALARM_BYTES: Final = 9
MAX_PERIOD_S: Final = 864_000
MAX_VALUE_BITS: Final = 64


class Intervals(NamedTuple):
    """One block. `first_end_s`: Unix seconds; times of this format are ends of intervals. `values`: by interval."""

    data_class: int
    first_end_s: int
    period_s: int
    values: list[list[int]]


class AlarmEvent(NamedTuple):
    event_code: int
    ts_s: int
    raised: bool


def intervals(payload: bytes, preferred: ByteOrder, received_at_s: int) -> list[Intervals]:
    """All blocks of the payload; none of an empty one. Raises DecodeError [interval_data]."""
    for order in sorted(ORDERS, key=lambda order: order != preferred):
        blocks = _blocks(payload, order, received_at_s + AHEAD_S)
        if blocks is not None:
            return blocks
    raise DecodeError("interval_data", f"no blocks of intervals in either byte order: {payload[:HEAD_BYTES].hex()}")


def alarm_events(payload: bytes, preferred: ByteOrder, received_at_s: int) -> list[AlarmEvent]:
    """The alarm's states, in the order sent. Raises DecodeError [interval_data]."""
    for order in sorted(ORDERS, key=lambda order: order != preferred):
        events = [_alarm(payload[at : at + ALARM_BYTES], order) for at in range(0, len(payload), ALARM_BYTES)]
        if len(payload) % ALARM_BYTES == 0 and all(
            payload[at] == FORMAT and EARLIEST_S <= event.ts_s <= received_at_s + AHEAD_S
            for at, event in zip(range(0, len(payload), ALARM_BYTES), events, strict=True)
        ):
            return events
    raise DecodeError("interval_data", f"no alarm states in either byte order: {payload[:ALARM_BYTES].hex()}")


def _alarm(record: bytes, order: ByteOrder) -> AlarmEvent:
    return AlarmEvent(int.from_bytes(record[1:3], order), int.from_bytes(record[4:8], order), record[8:9] != b"\0")


def _blocks(payload: bytes, order: ByteOrder, latest_s: int) -> list[Intervals] | None:
    blocks: list[Intervals] = []
    at = values = 0
    while at < len(payload):
        step = _block(payload, at, order, latest_s)
        if step is None:
            return None
        block, at = step
        blocks.append(block)
        values += sum(map(len, block.values))
        if values > MAX_READINGS:
            return None
    return blocks


def _block(payload: bytes, at: int, order: ByteOrder, latest_s: int) -> tuple[Intervals, int] | None:
    """The block at `at` and where the next begins; None when it cannot be one in this order."""
    if len(payload) < at + HEAD_BYTES or payload[at] != FORMAT:
        return None
    number = [
        int.from_bytes(payload[at + first : at + last], order) for first, last in ((1, 3), (3, 7), (7, 11), (11, 13))
    ]
    data_class, first_s, period_s, count = number
    bits = list(payload[at + HEAD_BYTES : at + HEAD_BYTES + payload[at + 13]])
    body_at = at + HEAD_BYTES + len(bits)
    body_bytes = (sum(bits) * count + 7) // 8
    possible = (
        len(bits) == payload[at + 13] and all(0 < width <= MAX_VALUE_BITS for width in bits)
        and 0 < period_s <= MAX_PERIOD_S and count * len(bits) <= MAX_READINGS
        and first_s >= EARLIEST_S and first_s + period_s * max(count - 1, 0) <= latest_s
        and body_at + body_bytes <= len(payload)
    )  # fmt: skip
    if not possible or (order == "little" and any(width % 8 for width in bits)):
        return None
    values = _values(payload[body_at : body_at + body_bytes], bits, count, order)
    return Intervals(data_class, first_s, period_s, values), body_at + body_bytes


def _values(body: bytes, bits: list[int], count: int, order: ByteOrder) -> list[list[int]]:
    packed, left = int.from_bytes(body, "big"), len(body) * 8
    rows: list[list[int]] = []
    for _ in range(count):
        row = []
        for width in bits:
            left -= width
            value = packed >> left & ((1 << width) - 1)
            row.append(value if order == "big" else int.from_bytes(value.to_bytes(width // 8, "big"), "little"))
        rows.append(row)
    return rows
