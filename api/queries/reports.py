"""Reports: what a device sent, as it was understood and as raw bytes."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from api.database import ReadPool
from api.queries.paging import Page, check_limit, decode_cursor, page
from api.queries.windows import BEGINNING, END, Window, before
from metering.errors import NotFoundError, RequestError
from metering.model import MeterId

MILLISECOND_BITS = 80
"""Of a report id, below its milliseconds."""


@dataclass(frozen=True, slots=True)
class ReportRow:
    """One report with its outcome, device state and raw bytes. None: the report did not say."""

    report_id: str
    received_at: datetime
    device: str
    meter_id: MeterId | None
    door: str
    authentication: str
    source: str
    content_format: int
    payload_bytes: int
    decoder: str | None
    outcome: str
    reason: str | None
    device_seq: int | None
    first_ts: datetime | None
    last_ts: datetime | None
    readings: int
    readings_stored: int
    battery_mv: int | None
    rsrp_ddbm: int | None
    snr_ddb: int | None
    ecl: int | None
    cell_id: int | None
    temperature_dc: int | None
    pressure_kpa: int | None
    valve: int | None
    alarms: int
    device_time: datetime | None
    extra: dict[str, Any] | None
    """Fields the platform keeps and does not interpret."""
    payload_hex: str | None
    """Raw bytes; None when their retention is over."""

    def __post_init__(self) -> None:
        if isinstance(self.extra, str):
            object.__setattr__(self, "extra", json.loads(self.extra))


_SELECT = """
SELECT r.report_id::text AS report_id, r.received_at, r.device, r.meter_id, r.door, r.authentication, r.source,
    r.content_format, r.payload_bytes, r.decoder, r.outcome, r.reason, r.device_seq, r.first_ts, r.last_ts, r.readings,
    r.readings_stored, r.battery_mv, r.rsrp_ddbm, r.snr_ddb, r.ecl, r.cell_id, r.temperature_dc, r.pressure_kpa,
    r.valve, r.alarms, r.device_time, r.extra, NULL::text AS payload_hex
FROM reports r
"""

_OF_METER_WHERE = """
WHERE r.meter_id = $1 AND r.received_at >= $5 AND r.received_at < $6
  AND ($2::timestamptz IS NULL OR (r.received_at, r.report_id) < ($2, $3::text::uuid))
ORDER BY r.received_at DESC, r.report_id DESC
LIMIT $4
"""

_OF_METER = _SELECT + _OF_METER_WHERE

# The newest report that its devices had taken; later ones can only have been refused.
_NEWEST = """
SELECT max(l.last_report_at) FROM installations i JOIN device_latest l ON l.device_id = i.device_id
WHERE i.meter_id = $1
"""

_PAYLOADS = """
SELECT raw.report_id::text AS report_id, encode(raw.payload, 'hex') AS payload_hex FROM raw_reports raw
WHERE raw.received_at >= $1 AND raw.received_at <= $2
  AND (raw.received_at, raw.report_id) IN (SELECT * FROM unnest($3::timestamptz[], $4::text[]::uuid[]))
"""

_ONE = _SELECT + "WHERE r.received_at >= $1 AND r.received_at < $2 AND r.report_id = $3::text::uuid"


async def list_reports(
    pool: ReadPool, meter_id: MeterId, *, limit: int = 20, cursor: str | None = None
) -> Page[ReportRow]:
    """Reports of a meter, newest first."""
    seen, report_id = decode_cursor(cursor, datetime, str) if cursor else (None, str(uuid.UUID(int=0)))
    after_id, wanted = str(parse_report_id(report_id)), check_limit(limit) + 1
    rows: list[ReportRow] = []
    for since, until in await _windows(pool, meter_id, seen):
        rows += await pool.fetch(ReportRow, _OF_METER, meter_id, seen, after_id, wanted - len(rows), since, until)
        if len(rows) == wanted:
            break
    found = page(rows, limit, lambda row: [row.received_at, row.report_id])
    return Page(await _with_payloads(pool, found.items), found.next_cursor)


async def _windows(pool: ReadPool, meter_id: MeterId, seen: datetime | None) -> list[Window]:
    """Where to look for a meter's reports, latest first: those up to the newest, or up to those that were seen."""
    newest = seen or await pool.value(_NEWEST, meter_id) or BEGINNING
    end = newest + timedelta(microseconds=1)
    return [*([] if seen else [(end, END)]), *before(end, end - BEGINNING)]


async def get_report(pool: ReadPool, report_id: str) -> ReportRow:
    """One report by its id. Raises NotFoundError. The id carries the millisecond of receipt, which finds the chunk."""
    identity = parse_report_id(report_id)
    since, until = received_between(identity)
    found = await pool.fetch_one(ReportRow, _ONE, since, until, str(identity))
    if found is None:
        raise NotFoundError(f"no report has the id {report_id}")
    return (await _with_payloads(pool, [found]))[0]


async def _with_payloads(pool: ReadPool, rows: list[ReportRow]) -> list[ReportRow]:
    """The reports with their raw bytes. A query of its own, whose bounds the planner knows."""
    if not rows:
        return []
    times = [row.received_at for row in rows]
    found = await pool.records(_PAYLOADS, min(times), max(times), times, [row.report_id for row in rows])
    payloads = {record["report_id"]: record["payload_hex"] for record in found}
    return [replace(row, payload_hex=payloads.get(row.report_id)) for row in rows]


def minted_at(identity: uuid.UUID) -> datetime:
    """When a gateway made this id. Raises NotFoundError for a time at which none was."""
    try:
        return datetime.fromtimestamp((identity.int >> MILLISECOND_BITS) / 1000, UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise NotFoundError(f"no report has the id {identity}") from error


def received_between(identity: uuid.UUID) -> tuple[datetime, datetime]:
    """When the report of this id was received, from and to before: what the index of `reports` needs."""
    received = minted_at(identity)
    try:
        return received - timedelta(milliseconds=2), received + timedelta(milliseconds=3)
    except OverflowError as error:
        raise NotFoundError(f"no report has the id {identity}") from error


def parse_report_id(text: str) -> uuid.UUID:
    """Raises RequestError when it is no UUID."""
    try:
        return uuid.UUID(text)
    except ValueError as error:
        raise RequestError("a report id is a UUID") from error
