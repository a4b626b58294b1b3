"""Raw readings of a meter and the conflicts among them. Never corrected, never estimated."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, timedelta

from api.database import ReadPool
from api.queries.paging import Page, check_limit, decode_cursor, page
from api.queries.windows import after
from metering.errors import RequestError
from metering.model import MeterId

MAX_READINGS = 100_000
CURVE_POINTS = 1_500
"""Points of a curve at most, about as many as a screen has columns: hourly readings of two months one by one."""


@dataclass(frozen=True, slots=True)
class ReadingRow:
    """`kind` is a value of `metering.model.ReadingKind`."""

    ts: datetime
    kind: int
    index_ml: int


@dataclass(frozen=True, slots=True)
class ConflictRow:
    """The same key arrived with another value: the stored one stays."""

    ts: datetime
    kind: int
    stored_index_ml: int
    other_index_ml: int
    report_id: str
    seen_at: datetime


_READINGS = """
SELECT ts, kind, index_ml FROM readings
WHERE meter_id = $1 AND ts >= $2 AND ts < $3 AND ($4::timestamptz IS NULL OR (ts, kind) > ($4, $5::smallint))
ORDER BY ts, kind
LIMIT $6
"""

_CURVE = """
SELECT DISTINCT ON (date_bin($4::interval, ts, $2)) ts, kind, index_ml FROM readings
WHERE meter_id = $1 AND ts >= $2 AND ts < $3
ORDER BY date_bin($4::interval, ts, $2), ts DESC, kind
"""

_CONFLICTS = """
SELECT ts, kind, stored_index_ml, other_index_ml, report_id::text AS report_id, seen_at FROM conflicts
WHERE meter_id = $1 AND ts >= $2 AND ts < $3
ORDER BY ts DESC, conflict_id DESC
LIMIT $4
"""


async def list_readings(
    pool: ReadPool, meter_id: MeterId, since: datetime, until: datetime, *, limit: int = 500, cursor: str | None = None
) -> Page[ReadingRow]:
    """Readings with since <= ts < until, oldest first."""
    seen, kind = decode_cursor(cursor, datetime, int) if cursor else (None, 0)
    since = max(since, seen) if seen else since
    wanted, rows = check_limit(limit) + 1, list[ReadingRow]()
    for start, end in after(since, until - since):
        rows += await pool.fetch(ReadingRow, _READINGS, meter_id, start, end, seen, small(kind), wanted - len(rows))
        if len(rows) == wanted:
            break
    return page(rows, limit, lambda row: [row.ts, row.kind])


async def readings_between(pool: ReadPool, meter_id: MeterId, since: datetime, until: datetime) -> list[ReadingRow]:
    """All readings with since <= ts < until. Raises RequestError when they are more than MAX_READINGS."""
    rows = await pool.fetch(ReadingRow, _READINGS, meter_id, since, until, None, 0, MAX_READINGS + 1)
    if len(rows) > MAX_READINGS:
        raise RequestError(f"the period holds more than {MAX_READINGS} readings: ask for a shorter one")
    return rows


async def index_curve(pool: ReadPool, meter_id: MeterId, since: datetime, until: datetime) -> list[ReadingRow]:
    """Readings of all kinds with since <= ts < until, oldest first, thinned to `CURVE_POINTS`: of each equal stretch
    of the period the last."""
    stretch = timedelta(seconds=max(1, math.ceil((until - since).total_seconds() / CURVE_POINTS)))
    return await pool.fetch(ReadingRow, _CURVE, meter_id, since, until, stretch)


async def list_conflicts(
    pool: ReadPool, meter_id: MeterId, since: datetime, until: datetime, limit: int = 100
) -> list[ConflictRow]:
    """Conflicts of the period, newest first, `limit` at most."""
    return await pool.fetch(ConflictRow, _CONFLICTS, meter_id, since, until, check_limit(limit))


def small(value: int) -> int:
    """`value` held within the range of a smallint: a forged cursor then just finds nothing."""
    return max(-32768, min(32767, value))
