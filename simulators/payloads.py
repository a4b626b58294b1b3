"""What a meter's report looks like on the wire: native CBOR and JSON (PROTOCOLS G), CJ/T 188 frames (PROTOCOLS A).

CJ/T 188 frames carry one reading each. Two kinds are played:

* the vendor's daily report, unit 3 (one litre in 32 bits): whole litres survive, so `replay` uses this one;
* the standard's 901F reading with unit 2CH: cubic metres with two decimals, so the index is cut to steps of 10 L.
  Unit 29H (litre) is not used: vendors disagree whether its two decimals are there (PROTOCOLS A).
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone

import cbor2

from metering.model import ContentFormat

CJT188_ZONE = timezone(timedelta(hours=8))
"""Clocks of CJ/T 188 meters show China's time, which has no daylight saving time."""
SINGLE_READING_INTERVAL_S = 3600
MAX_BLOCK_INTERVAL_S = 12 * 3600
"""Readings further apart do not share a block: they are a gap, not a spacing."""
MAX_DATAGRAM_PAYLOAD = 1024
COLD_WATER = 0x10
READ_ANSWER = 0x81
VENDOR_MAKER_CODE = b"\x58"
VENDOR_SER = 0xA7
UNIT_CUBIC_METRE, VENDOR_UNIT_LITRE = 0x2C, 3

KEYS = {
    "v": 0, "seq": 1, "blocks": 2, "scale": 3, "battery_mv": 4, "rsrp_ddbm": 5, "snr_ddb": 6, "ecl": 7,
    "temperature_dc": 8, "valve": 9, "alarms": 10, "sent_at": 11, "cell_id": 12, "results": 13,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Report:
    """A report before encoding. `readings`: (unix seconds, index in litres), ascending in time. `state` uses the names
    of PROTOCOLS G (`battery_mv`, `rsrp_ddbm` …)."""

    seq: int
    readings: Sequence[tuple[int, int]]
    state: Mapping[str, object] = field(default_factory=dict)


Block = tuple[int, int, int, list[int]]


def blocks_of(readings: Sequence[tuple[int, int]]) -> list[Block]:
    """Readings as blocks of equal spacing, as few as a left-to-right scan finds."""
    blocks: list[Block] = []
    at = 0
    while at < len(readings):
        ts, index = readings[at]
        interval = readings[at + 1][0] - ts if at + 1 < len(readings) else SINGLE_READING_INTERVAL_S
        if interval > MAX_BLOCK_INTERVAL_S:
            interval = SINGLE_READING_INTERVAL_S
        deltas: list[int] = []
        at += 1
        while at < len(readings) and readings[at][0] - readings[at - 1][0] == interval:
            deltas.append(readings[at][1] - readings[at - 1][1])
            at += 1
        blocks.append((ts, interval, index, deltas))
    return blocks


def encode_cbor(report: Report) -> bytes:
    return cbor2.dumps({KEYS[name]: value for name, value in _fields(report).items()})


def encode_json(report: Report) -> bytes:
    return json.dumps(_fields(report), separators=(",", ":")).encode()


def _fields(report: Report) -> dict[str, object]:
    blocks = [list(block) for block in blocks_of(report.readings)]
    return {"v": 1, "seq": report.seq, "blocks": blocks, "scale": 3, **report.state}


def split_to_fit(report: Report, content_format: ContentFormat, next_seq: int) -> list[tuple[Report, bytes]]:
    """The report with its encoding, halved until each part fits in MAX_DATAGRAM_PAYLOAD; the parts are numbered
    from `next_seq` on."""
    encoder = encode_cbor if content_format == ContentFormat.CBOR else encode_json
    numbered = Report(next_seq, report.readings, report.state)
    payload = encoder(numbered)
    if len(payload) <= MAX_DATAGRAM_PAYLOAD or len(report.readings) <= 1:
        return [(numbered, payload)]
    middle = len(report.readings) // 2
    first = split_to_fit(Report(0, report.readings[:middle], report.state), content_format, next_seq)
    rest = Report(0, report.readings[middle:], report.state)
    return first + split_to_fit(rest, content_format, next_seq + len(first))


class CborDays:
    """The load generator's encoder: equally spaced readings with the same differences in every report, so that only
    three integers change. A few hundred nanoseconds a report."""

    def __init__(self, interval_s: int, deltas: Sequence[int], state: dict[str, int]) -> None:
        rest = {KEYS[name]: value for name, value in {"scale": 3, **state}.items()}
        self._layout = struct.Struct(">5sI4sIcHBI")
        self._start = bytes((0xA3 + len(rest),)) + b"\x00\x01\x01\x1a"  # {0: 1, 1: uint32
        self._interval_s = interval_s
        self._tail = cbor2.dumps(list(deltas)) + cbor2.dumps(rest)[1:]

    def encode(self, seq: int, t0_s: int, index0_l: int) -> bytes:
        return (
            self._layout.pack(self._start, seq, b"\x02\x81\x84\x1a", t0_s, b"\x19", self._interval_s, 0x1A, index0_l)
            + self._tail
        )


def encode_vendor_daily(
    serial: str, ts_s: int, litres: int, battery_mv: int = 3600, signal: int = 15, pressure_kpa: int = 0
) -> bytes:
    """The vendor's daily report (CJ/T 188, 42 bytes) of one reading in whole litres, below 2^32.

    `serial`: digits; the last twelve are the meter number. Status 0009: valve open, periodic report on. The pressure is
    cut to steps of 10 kPa.
    """
    number = _bcd(serial[-12:].rjust(12, "0"))[::-1]
    local = datetime.fromtimestamp(ts_s, CJT188_ZONE)
    weekday = local.isoweekday() % 7 + 1
    clock = _bcd(f"{local:%S%M%H%d}{weekday:02d}{local:%m%y}")
    body = number + clock + struct.pack("<IB", litres, VENDOR_UNIT_LITRE)
    body += _bcd(f"{battery_mv:04d}")[::-1] + b"\x09\x00" + _bcd(f"{signal:02d}")
    body += _bcd(f"{pressure_kpa // 10:06d}")[::-1]
    return _frame(number + VENDOR_MAKER_CODE, VENDOR_SER, b"\x1f\x90", body)


def encode_901f(serial: str, ts_s: int, litres: int, ser: int = 0, valve: int = 0, battery_low: bool = False) -> bytes:
    """The standard's reading 901F in cubic metres with two decimals: litres are cut to tens. At most 999,999.99 m³."""
    address = _bcd(serial[-14:].rjust(14, "0"))[::-1]
    local = datetime.fromtimestamp(ts_s, CJT188_ZONE)
    volume = _bcd(f"{litres // 10:08d}")[::-1] + bytes((UNIT_CUBIC_METRE,))
    clock = _bcd(f"{local:%Y%m%d%H%M%S}")[::-1]
    status = bytes((valve | (4 if battery_low else 0), 0))
    return _frame(address, ser, b"\x90\x1f", volume + volume + clock + status)


def _frame(address: bytes, ser: int, data_identifier: bytes, body: bytes) -> bytes:
    inner = data_identifier + bytes((ser,)) + body
    frame = bytes((0x68, COLD_WATER)) + address + bytes((READ_ANSWER, len(inner))) + inner
    return frame + bytes((sum(frame) & 0xFF, 0x16))


def _bcd(digits: str) -> bytes:
    return bytes.fromhex(digits)
