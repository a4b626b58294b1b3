"""A file of recorded readings (`meter_id,ts,index_l`) and the daily reports it becomes."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from zoneinfo import ZoneInfo

from metering.model import ContentFormat
from simulators import payloads
from simulators.local_time import DAY_S, UTC_OFFSET_S

HEADER = ["meter_id", "ts", "index_l"]
MAX_VENDOR_L = 2**32 - 1
SERIAL_DIGITS = 12
TIME_FORMS = "2026-01-31 23:00, 2026-01-31T23:00+08:00 or 2026-01-31T15:00Z"


class Recorded(StrEnum):
    """The payload format of a replay. MIXED: one meter this, the next that."""

    CBOR = "cbor"
    JSON = "json"
    CJT188 = "cjt188"
    MIXED = "mixed"


MIXTURE = (Recorded.CBOR, Recorded.JSON, Recorded.CJT188)


class RecordingError(ValueError):
    """The file cannot be played; the message names the line."""


@dataclass(slots=True)
class Recording:
    """Readings of one meter, ascending in time, each instant once."""

    meter_id: str
    serial: str
    ts_s: list[int]
    index_l: list[int]


def read(path: Path, timezone: str) -> list[Recording]:
    """The recordings of a file, by meter_id. Times without an offset are taken at the zone's standard one, without
    summer time.

    Raises RecordingError for a header, time or index that is none, and for one instant with two indices.
    """
    try:
        offset_s = _standard_offset_s(ZoneInfo(timezone))
    except (KeyError, ValueError, OSError) as error:
        raise RecordingError(f"{timezone!r} is not an IANA time zone") from error
    found: dict[str, dict[int, int]] = {}
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = csv.reader(file)
        if (header := next(rows, [])) != HEADER:
            raise RecordingError(f"{path}: the header is {','.join(header)!r}, must be {','.join(HEADER)!r}")
        for line, row in enumerate(rows, 2):
            meter_id, ts_s, index_l = _row(path, line, row, offset_s)
            if found.setdefault(meter_id, {}).setdefault(ts_s, index_l) != index_l:
                raise RecordingError(f"{path}: line {line}: meter {meter_id} has two indices at {row[1]}")
    if not found:
        raise RecordingError(f"{path}: no readings")
    serials = serials_of(sorted(found))
    return [_recording(meter_id, serials[meter_id], found[meter_id]) for meter_id in sorted(found)]


def _standard_offset_s(zone: ZoneInfo) -> int:
    january, july = (datetime(2026, month, 1, tzinfo=zone).utcoffset() for month in (1, 7))
    assert january is not None  # noqa: S101 - an aware datetime has an offset
    assert july is not None  # noqa: S101 - as above
    return int(min(january, july).total_seconds())


def _row(path: Path, line: int, row: list[str], offset_s: int) -> tuple[str, int, int]:
    try:
        meter_id, ts, index = row
        return meter_id.strip(), _ts_s(ts.strip(), offset_s), int(index)
    except ValueError as error:
        raise RecordingError(f"{path}: line {line}: {','.join(row)!r}: {error}") from error


def _ts_s(text: str, offset_s: int) -> int:
    """Raises ValueError for what is no ISO 8601 date and time. `offset_s` is that of a time which states none."""
    try:
        time = datetime.fromisoformat(text if ":" in text else "")
    except ValueError as error:
        raise ValueError(f"the time {text!r} is not written like {TIME_FORMS}") from error
    if time.tzinfo is None:
        return int(time.replace(tzinfo=UTC).timestamp()) - offset_s
    return int(time.timestamp())


def _recording(meter_id: str, serial: str, readings: dict[int, int]) -> Recording:
    instants = sorted(readings)
    return Recording(meter_id, serial, instants, [readings[ts] for ts in instants])


def serials_of(meter_ids: Sequence[str]) -> dict[str, str]:
    """Twelve digits for each id, as CJ/T 188 needs them: its own digits at the end where that tells the ids apart
    (`M100093` is 100000100093), else a number in the order of the list."""
    digits = [re.sub(r"\D", "", meter_id) for meter_id in meter_ids]
    if all(0 < len(text) <= 11 for text in digits) and len({int(text) for text in digits}) == len(digits):
        return {
            meter_id: f"1{int(text):0{SERIAL_DIGITS - 1}d}" for meter_id, text in zip(meter_ids, digits, strict=True)
        }
    return {meter_id: f"1{number:0{SERIAL_DIGITS - 1}d}" for number, meter_id in enumerate(meter_ids)}


def wire_of(recorded: Recorded, number: int) -> Recorded:
    return MIXTURE[number % len(MIXTURE)] if recorded is Recorded.MIXED else recorded


def days(recording: Recording) -> Iterator[tuple[int, list[tuple[int, int]]]]:
    """(local day counted from 1970-01-01, its readings), ascending."""
    day_now, readings = None, list[tuple[int, int]]()
    for ts_s, index_l in zip(recording.ts_s, recording.index_l, strict=True):
        day = (ts_s + UTC_OFFSET_S) // DAY_S
        if day != day_now and readings:
            assert day_now is not None  # noqa: S101 - readings were added under it
            yield day_now, readings
            readings = []
        day_now = day
        readings.append((ts_s, index_l))
    if day_now is not None:
        yield day_now, readings


def encode(
    recording: Recording, wire: Recorded, seq: int, readings: list[tuple[int, int]]
) -> list[tuple[ContentFormat, bytes]]:
    """The report(s) of one day, numbered from `seq` on. Raises RecordingError for what the format cannot say."""
    if wire is Recorded.CJT188:
        return [(ContentFormat.OCTET_STREAM, _vendor_frame(recording, *reading)) for reading in readings]
    content_format = ContentFormat.CBOR if wire is Recorded.CBOR else ContentFormat.JSON
    report = payloads.Report(seq, readings, {"battery_mv": 3600})
    return [(content_format, payload) for _, payload in payloads.split_to_fit(report, content_format, seq)]


def _vendor_frame(recording: Recording, ts_s: int, index_l: int) -> bytes:
    if not 0 <= index_l <= MAX_VENDOR_L:
        raise RecordingError(f"meter {recording.meter_id}: {index_l} L does not fit the 32 bits of a CJ/T 188 frame")
    return payloads.encode_vendor_daily(recording.serial, ts_s, index_l)
