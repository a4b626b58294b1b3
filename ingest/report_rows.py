"""Rows of the tables that hold reports, from how each report ended. Pure.

Values are plain: instants as microseconds since 1970, ids as 16 bytes, as `copy_encoding` takes them. `parameters`
turns them into what asyncpg takes as parameters of a statement.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import numpy as np
from asyncpg.pgproto.pgproto import UUID

from metering.envelope import Report
from metering.model import DecodedReport, DeviceState, Outcome

from .classify import Refused
from .placing import Placed, Segment

Row = tuple[Any, ...]

STATE_COLUMNS = {
    "battery_mv": "integer",
    "rsrp_ddbm": "integer",
    "snr_ddb": "integer",
    "ecl": "smallint",
    "cell_id": "bigint",
    "temperature_dc": "integer",
    "pressure_kpa": "integer",
    "valve": "smallint",
    "alarms": "integer",
}
"""Of a device, as its report says it and as its newest report left it."""

REPORT_COLUMNS = {
    "received_at": "timestamptz",
    "report_id": "uuid",
    "device": "text",
    "device_id": "bigint",
    "meter_id": "bigint",
    "door": "text",
    "authentication": "text",
    "source": "text",
    "content_format": "integer",
    "payload_bytes": "integer",
    "decoder": "text",
    "outcome": "text",
    "reason": "text",
    "identity": "bigint",
    "device_seq": "bigint",
    "first_ts": "timestamptz",
    "last_ts": "timestamptz",
    "readings": "integer",
    "readings_stored": "integer",
    **STATE_COLUMNS,
    "device_time": "timestamptz",
    "extra": "jsonb",
    "stream_sequence": "bigint",
}
LATEST_COLUMNS = {
    "device_id": "bigint",
    "meter_id": "bigint",
    "last_report_at": "timestamptz",
    "last_report_id": "uuid",
    "last_ts": "timestamptz",
    "last_index_ml": "bigint",
    **STATE_COLUMNS,
}
RAW_COLUMNS = {"received_at": "timestamptz", "report_id": "uuid", "payload": "bytea"}
DEAD_LETTER_COLUMNS = {
    "report_id": "uuid",
    "received_at": "timestamptz",
    "device": "text",
    "door": "text",
    "authentication": "text",
    "source": "text",
    "content_format": "integer",
    "payload": "bytea",
    "reason": "text",
    "message": "text",
}

MAX_EXTRA_CHARACTERS = 16_384
MAX_MESSAGE_CHARACTERS = 2_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_S = 4_102_444_800
_STATE = struct.Struct("=iiihqiii")
_INT16, _INT32, _INT64 = 2**15 - 1, 2**31 - 1, 2**63 - 1


class Ended(NamedTuple):
    """How a report that could be placed ended."""

    placed: Placed
    outcome: Outcome
    reason: str | None
    stored: int
    """Readings that are new in the database."""


def instant(unix_us: int) -> datetime:
    return _EPOCH + timedelta(microseconds=unix_us)


_TO_PARAMETER = {"timestamptz": instant, "uuid": UUID}


def array_parameters(kinds: Mapping[str, str]) -> str:
    """The placeholders of a statement that takes columns of these kinds as arrays."""
    return ", ".join(f"${n}::{kind}[]" for n, kind in enumerate(kinds.values(), 1))


def parameters(kinds: Mapping[str, str], rows: Iterable[Row]) -> list[list[Any]]:
    """Rows as columns of values that asyncpg takes for arrays of these kinds."""
    columns: list[list[Any]] = [list(column) for column in zip(*rows, strict=True)]
    for position, kind in enumerate(kinds.values()):
        if columns and (convert := _TO_PARAMETER.get(kind)):
            columns[position] = [None if value is None else convert(value) for value in columns[position]]
    return columns


def _second_us(unix_s: int | None) -> int | None:
    return None if unix_s is None or not 0 <= unix_s <= _LAST_S else unix_s * 1_000_000


def _within(value: int | None, limit: int) -> int | None:
    """None for what its column cannot hold: a decoder's wild value must not stop a batch."""
    return value if value is not None and -limit <= value <= limit else None


def ended_values(ended: Ended, sequence: int | None) -> Row:
    """The row of `reports`, columns as REPORT_COLUMNS; `sequence` is that of the stream message."""
    placed, outcome, reason, stored = ended
    report, content, segments = placed.report, placed.content, placed.segments
    first_s, last_s = _outer(segments)
    return (
        report.received_at_us, report.report_id, placed.device.name, placed.device.device_id, placed.meter_id,
        report.door, report.authentication, report.source, report.content_format, len(report.payload), placed.decoder,
        outcome, reason, placed.identity, _within(content.seq, _INT64), _second_us(first_s), _second_us(last_s),
        placed.readings, stored, *state_columns(content.state), _second_us(content.state.device_time_s),
        extra_json(content), sequence,
    )  # fmt: skip


def _outer(segments: Sequence[Segment]) -> tuple[int | None, int | None]:
    """The first and the last time of all readings."""
    if len(segments) == 1:
        return segments[0].first_s, segments[0].last_s
    first_s = min((segment.first_s for segment in segments), default=None)
    return first_s, max((segment.last_s for segment in segments), default=None)


def refused_values(refused: Refused, sequence: int | None) -> Row:
    """The row of `reports` of a dead letter, columns as REPORT_COLUMNS."""
    report, device = refused.report, refused.device
    installed = device.at(report.received_at_us // 1_000_000) if device else None
    return (
        report.received_at_us, report.report_id, device.name if device else report.device,
        device.device_id if device else None, installed.meter_id if installed else None, report.door,
        report.authentication, report.source, report.content_format, len(report.payload), refused.decoder,
        Outcome.DEAD_LETTERED, refused.reason, 0, *(None,) * 3, 0, 0, *(None,) * 8, 0, None, None, sequence,
    )  # fmt: skip


def ended_row(ended: Ended, sequence: int | None) -> Row:
    """As `ended_values`, as the parameters of a statement."""
    return tuple(value for (value,) in parameters(REPORT_COLUMNS, [ended_values(ended, sequence)]))


def refused_row(refused: Refused, sequence: int | None) -> Row:
    """As `refused_values`, as the parameters of a statement."""
    return tuple(value for (value,) in parameters(REPORT_COLUMNS, [refused_values(refused, sequence)]))


def raw_values(report: Report) -> Row:
    """The row of `raw_reports`, columns as RAW_COLUMNS."""
    return (report.received_at_us, report.report_id, report.payload)


def dead_letter_values(refused: Refused) -> Row:
    """The row of `dead_letters`, columns as DEAD_LETTER_COLUMNS."""
    report = refused.report
    return (
        report.report_id, report.received_at_us, report.device, report.door, report.authentication, report.source,
        report.content_format, report.payload, refused.reason, storable_text(refused.message)[:MAX_MESSAGE_CHARACTERS],
    )  # fmt: skip


def storable_text(text: str) -> str:
    """PostgreSQL's text has no NUL and no half of a surrogate pair."""
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode()


def state_columns(state: DeviceState) -> Row:
    """From battery to alarms, in the order of REPORT_COLUMNS and of `device_latest`; None for what its column cannot
    hold."""
    battery, rsrp, snr, ecl, cell, temperature, pressure, valve, alarms, _ = state
    try:
        _STATE.pack(battery or 0, rsrp or 0, snr or 0, ecl or 0, cell or 0, temperature or 0, pressure or 0, alarms)
    except struct.error:
        battery, rsrp, snr = _within(battery, _INT32), _within(rsrp, _INT32), _within(snr, _INT32)
        ecl, cell = _within(ecl, _INT16), _within(cell, _INT64)
        temperature, pressure, alarms = _within(temperature, _INT32), _within(pressure, _INT32), alarms & _INT32
    return battery, rsrp, snr, ecl, cell, temperature, pressure, valve, alarms


def extra_json(content: DecodedReport) -> str | None:
    """The uninterpreted fields as JSON that `jsonb` takes; of what is too long or no JSON only the beginning."""
    extra = content.extra
    if content.meter_address is not None:
        extra = {**extra, "meter_address": content.meter_address}
    if not extra:
        return None
    try:
        text = json.dumps(extra, ensure_ascii=False, allow_nan=False, default=_readable)
    except (TypeError, ValueError, RecursionError):
        text = json.dumps({"unreadable": repr(extra)[:MAX_EXTRA_CHARACTERS]})
    if len(text) > MAX_EXTRA_CHARACTERS:
        text = json.dumps({"shortened": text[:MAX_EXTRA_CHARACTERS]}, ensure_ascii=False)
    return storable_text(text.replace("\\u0000", "\\ufffd"))


def _readable(value: object) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)


_NAMES = list(REPORT_COLUMNS)
_DEVICE_AT, _METER_AT = _NAMES.index("device_id"), _NAMES.index("meter_id")
_STATE_BEGIN = _NAMES.index(next(iter(STATE_COLUMNS)))
_STATE_AT = slice(_STATE_BEGIN, _STATE_BEGIN + len(STATE_COLUMNS))


def latest_values(rows: Sequence[Row], last_s: Sequence[int | None], index_ml: Sequence[int]) -> list[Row]:
    """One row of `device_latest` per device, columns as LATEST_COLUMNS: its newest report here. Sorted by device.

    `rows` are the rows of `reports`; `last_s` and `index_ml` say the newest reading that each has of its meter.
    """
    device_id = np.array([row[_DEVICE_AT] for row in rows], np.int64)
    received_us = np.array([row[0] for row in rows], np.int64)
    order = np.lexsort((received_us, device_id))
    last_of_device = np.ones(len(order), np.bool_)
    last_of_device[:-1] = device_id[order[1:]] != device_id[order[:-1]]
    latest = []
    for at in order[last_of_device].tolist():
        row, ts_s = rows[at], last_s[at]
        latest.append(
            (row[_DEVICE_AT], row[_METER_AT], row[0], row[1], _second_us(ts_s), None if ts_s is None else index_ml[at],
             *row[_STATE_AT])
        )  # fmt: skip
    return latest
