"""Consumption of a meter in a period: hours derived from readings, days as they were settled, months as their sums."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

import numpy as np

from api.database import ReadPool
from api.queries.accounting import midnight
from api.queries.windows import after, before
from metering.consumption import HOUR_S, MARGIN, MAX_SPREAD_S, Intervals, Limits, hours, reasons, validated
from metering.errors import RequestError
from metering.model import MeterId, Quality

MAX_HOUR_DAYS = 62
MAX_DAYS = 3_700
READINGS_BESIDE = 4 * MARGIN
"""Loaded on either side of the period: enough when each of MARGIN instants has readings of several kinds."""


BRIDGED = timedelta(seconds=MAX_SPREAD_S)
NEAR = timedelta(days=2)
"""Enough for READINGS_BESIDE hourly readings."""


class Granularity(StrEnum):
    HOUR = "hour"
    DAY = "day"
    MONTH = "month"


@dataclass(frozen=True, slots=True)
class ConsumptionRow:
    """Water of one hour, local day or local month: start <= t < end, both in the utility's time zone.

    `volume_ml` None: nothing is known of this span. `complete`: readings cover it from start to end.
    """

    start: datetime
    end: datetime
    volume_ml: int | None
    excluded_ml: int
    """Index steps in it that are not water."""
    quality: Quality | None
    """The weakest of what it is made of; None when nothing is known."""
    reasons: tuple[str, ...]
    complete: bool


@dataclass(frozen=True, slots=True)
class _Day:
    day: date
    consumption_ml: int
    excluded_ml: int
    quality: str
    reasons: list[str]
    complete: bool


@dataclass(frozen=True, slots=True)
class _Register:
    q3_l_h: int
    register_max_ml: int
    pulse_ml: int


@dataclass(frozen=True, slots=True)
class _Reading:
    ts: datetime
    index_ml: int


_DAYS = """
SELECT day, consumption_ml, excluded_ml, quality, reasons, complete FROM settled_days
WHERE meter_id = $1 AND day >= $2 AND day <= $3
ORDER BY day
"""

_REGISTER = "SELECT q3_l_h, register_max_ml, pulse_ml FROM meters WHERE meter_id = $1"

_READINGS = """
SELECT ts, index_ml FROM readings WHERE meter_id = $1 AND ts >= $2 AND ts < $3
"""
_BEFORE = """
SELECT ts, index_ml FROM readings WHERE meter_id = $1 AND ts >= $2 AND ts < $3 ORDER BY ts DESC LIMIT $4
"""
_AFTER = """
SELECT ts, index_ml FROM readings WHERE meter_id = $1 AND ts >= $2 AND ts < $3 ORDER BY ts LIMIT $4
"""

_WEAKNESS = (Quality.MEASURED, Quality.EDITED, Quality.INTERPOLATED, Quality.ESTIMATED)


async def list_consumption(
    pool: ReadPool, meter_id: MeterId, granularity: Granularity, first: date, last: date, zone: ZoneInfo
) -> list[ConsumptionRow]:
    """Consumption of the local days first..last, oldest first.

    Hours cover every hour of the period (with nothing known, `volume_ml` is None); days and months only those with a
    settled day. Raises RequestError when the period is empty, reversed or too long.
    """
    most = MAX_HOUR_DAYS if granularity is Granularity.HOUR else MAX_DAYS
    if not 0 <= (last - first).days < most:
        raise RequestError(f"a period of 1 to {most} days is needed for {granularity}, its first day before its last")
    if granularity is Granularity.HOUR:
        return await _hours(pool, meter_id, first, last, zone)
    days = await pool.fetch(_Day, _DAYS, meter_id, first, last)
    return _months(days, zone) if granularity is Granularity.MONTH else [_day(row, zone) for row in days]


def _day(row: _Day, zone: ZoneInfo) -> ConsumptionRow:
    return ConsumptionRow(
        midnight(row.day, zone),
        midnight(row.day + timedelta(days=1), zone),
        row.consumption_ml,
        row.excluded_ml,
        Quality(row.quality),
        tuple(row.reasons),
        row.complete,
    )


def _months(days: list[_Day], zone: ZoneInfo) -> list[ConsumptionRow]:
    """Sums of days. A month is complete when each of its days is there and complete."""
    months: dict[date, list[_Day]] = {}
    for row in days:
        months.setdefault(row.day.replace(day=1), []).append(row)
    return [_month(first, rows, zone) for first, rows in months.items()]


def _month(first: date, rows: list[_Day], zone: ZoneInfo) -> ConsumptionRow:
    following = (first + timedelta(days=31)).replace(day=1)
    return ConsumptionRow(
        midnight(first, zone),
        midnight(following, zone),
        sum(row.consumption_ml for row in rows),
        sum(row.excluded_ml for row in rows),
        max((Quality(row.quality) for row in rows), key=_WEAKNESS.index),
        tuple(sorted({reason for row in rows for reason in row.reasons})),
        len(rows) == (following - first).days and all(row.complete for row in rows),
    )


async def _hours(pool: ReadPool, meter_id: MeterId, first: date, last: date, zone: ZoneInfo) -> list[ConsumptionRow]:
    since, until = midnight(first, zone), midnight(last + timedelta(days=1), zone)
    register = await pool.fetch_one(_Register, _REGISTER, meter_id)
    if register is None:
        return []
    found = await _readings(pool, meter_id, since, until)
    curve = validated(
        np.array([int(reading.ts.timestamp()) for reading in found], np.int64),
        np.array([reading.index_ml for reading in found], np.int64),
        Limits.of(register.q3_l_h, register.register_max_ml, register.pulse_ml),
    )
    from_s, to_s = int(since.timestamp()), int(until.timestamp())
    known = hours(curve, zone, from_s, to_s)
    at = {int(start_s): position for position, start_s in enumerate(known.start_s)}
    return [_hour(known, at.get(start_s), start_s, zone) for start_s in range(from_s, to_s, HOUR_S)]


async def _readings(pool: ReadPool, meter_id: MeterId, since: datetime, until: datetime) -> list[_Reading]:
    """All readings of the period and READINGS_BESIDE on either side, in any order.

    Those beside are looked for near the period first, and no further away than a curve is bridged
    (`api.queries.windows` says why).
    """
    found = await pool.fetch(_Reading, _READINGS, meter_id, since, until)
    for query, windows in ((_BEFORE, before(since, BRIDGED, NEAR)), (_AFTER, after(until, BRIDGED, NEAR))):
        beside: list[_Reading] = []
        for start, end in windows:
            beside += await pool.fetch(_Reading, query, meter_id, start, end, READINGS_BESIDE - len(beside))
            if len(beside) == READINGS_BESIDE:
                break
        found += beside
    return found


def _hour(known: Intervals, at: int | None, start_s: int, zone: ZoneInfo) -> ConsumptionRow:
    start, end = datetime.fromtimestamp(start_s, zone), datetime.fromtimestamp(start_s + HOUR_S, zone)
    if at is None:
        return ConsumptionRow(start, end, None, 0, None, (), False)
    return ConsumptionRow(
        start,
        end,
        int(known.consumption_ml[at]),
        int(known.excluded_ml[at]),
        known.quality(at),
        tuple(reasons(int(known.flags[at]))),
        bool(known.complete[at]),
    )
