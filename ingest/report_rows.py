"""Rows of the tables that hold reports, from how each report ended. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from asyncpg.pgproto.pgproto import UUID

from metering.envelope import Report
from metering.model import DecodedReport, Outcome

from .classify import Placed, Refused

Row = tuple[Any, ...]

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
    "battery_mv": "integer",
    "rsrp_ddbm": "integer",
    "snr_ddb": "integer",
    "ecl": "smallint",
    "cell_id": "bigint",
    "temperature_dc": "integer",
    "pressure_kpa": "integer",
    "valve": "smallint",
    "alarms": "integer",
    "device_time": "timestamptz",
    "extra": "jsonb",
    "stream_sequence": "bigint",
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
_INT16, _INT32, _INT64 = 2**15 - 1, 2**31 - 1, 2**63 - 1


@dataclass(frozen=True, slots=True)
class Ended:
    """How a report that could be placed ended."""

    placed: Placed
    outcome: Outcome
    reason: str | None
    stored: int
    """Readings that are new in the database."""


def instant(unix_us: int) -> datetime:
    return _EPOCH + timedelta(microseconds=unix_us)


def _second(unix_s: int | None) -> datetime | None:
    return None if unix_s is None or not 0 <= unix_s <= _LAST_S else _EPOCH + timedelta(seconds=unix_s)


def _within(value: int | None, limit: int) -> int | None:
    """None for what its column cannot hold: a decoder's wild value must not stop a batch."""
    return value if value is not None and -limit <= value <= limit else None


def ended_row(ended: Ended, sequence: int | None) -> Row:
    """The row of `reports`, columns as REPORT_COLUMNS; `sequence` is that of the stream message."""
    placed = ended.placed
    report, content, segments = placed.report, placed.content, placed.segments
    first = _second(min((segment.first_s for segment in segments), default=None))
    last = _second(max((segment.last_s for segment in segments), default=None))
    return (
        instant(report.received_at_us), UUID(report.report_id), placed.device.name, placed.device.device_id,
        placed.meter_id, str(report.door), str(report.authentication), report.source, report.content_format,
        len(report.payload), placed.decoder, str(ended.outcome), ended.reason, placed.identity,
        _within(content.seq, _INT64), first, last, placed.readings, ended.stored, *state_columns(content),
        _second(content.state.device_time_s), extra_json(content), sequence,
    )  # fmt: skip


def refused_row(refused: Refused, sequence: int | None) -> Row:
    """The row of `reports` of a dead letter, columns as REPORT_COLUMNS."""
    report, device = refused.report, refused.device
    installed = device.at(report.received_at_us // 1_000_000) if device else None
    return (
        instant(report.received_at_us), UUID(report.report_id), device.name if device else report.device,
        device.device_id if device else None, installed.meter_id if installed else None, str(report.door),
        str(report.authentication), report.source, report.content_format, len(report.payload), refused.decoder,
        str(Outcome.DEAD_LETTERED), refused.reason, 0, *(None,) * 3, 0, 0, *(None,) * 8, 0, None, None,
        sequence,
    )  # fmt: skip


def raw_row(report: Report) -> Row:
    return (instant(report.received_at_us), UUID(report.report_id), report.payload)


def dead_letter_row(refused: Refused) -> Row:
    report = refused.report
    return (
        UUID(report.report_id), instant(report.received_at_us), report.device, str(report.door),
        str(report.authentication), report.source, report.content_format, report.payload, refused.reason,
        storable_text(refused.message)[:MAX_MESSAGE_CHARACTERS],
    )  # fmt: skip


def storable_text(text: str) -> str:
    """PostgreSQL's text has no NUL and no half of a surrogate pair."""
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode()


def state_columns(content: DecodedReport) -> Row:
    """From battery to alarms, in the order of REPORT_COLUMNS and of `device_latest`."""
    state = content.state
    return (
        _within(state.battery_mv, _INT32), _within(state.rsrp_ddbm, _INT32), _within(state.snr_ddb, _INT32),
        _within(state.ecl, _INT16), _within(state.cell_id, _INT64), _within(state.temperature_dc, _INT32),
        _within(state.pressure_kpa, _INT32), None if state.valve is None else int(state.valve),
        state.alarms & _INT32,
    )  # fmt: skip


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


def latest_rows(ended: list[Ended]) -> list[Row]:
    """One row of `device_latest` per device: its newest report here, and its newest reading. Sorted by device."""
    newest: dict[int, Ended] = {}
    for end in ended:
        device_id = end.placed.device.device_id
        known = newest.get(device_id)
        if known is None or known.placed.report.received_at_us <= end.placed.report.received_at_us:
            newest[device_id] = end
    return [_latest_row(newest[device_id]) for device_id in sorted(newest)]


def _latest_row(ended: Ended) -> Row:
    placed = ended.placed
    last_s: int | None = None
    index_ml: int | None = None
    for segment in placed.segments:
        if segment.meter_id == placed.meter_id:
            last_s, index_ml = segment.last_s, segment.last_index_ml
    return (
        placed.device.device_id, placed.meter_id, instant(placed.report.received_at_us),
        UUID(placed.report.report_id), _second(last_s), index_ml, *state_columns(placed.content),
    )  # fmt: skip
