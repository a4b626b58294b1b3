"""Consumption of a meter in a period: hours derived from readings, days as they were settled, months as their sums."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

import numpy as np

from api.database import ReadPool
from api.queries.accounting import midnight
from api.queries.settled_days import ConsumptionRow, months_of, multipliers, settled_days, times
from api.queries.windows import after, before
from metering.consumption import (
    HOUR_S,
    MARGIN,
    MAX_SPREAD_S,
    PROFILE_S,
    VOID,
    Amendments,
    Intervals,
    Limits,
    Readings,
    Rules,
    amended,
    by_size,
    curve_of,
    filled_alone,
    hours,
    long_gaps,
    reasons,
)
from metering.errors import RequestError
from metering.model import MeterId

STANDARD = Rules()
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
class _Register:
    q3_l_h: int
    register_max_ml: int
    pulse_ml: int
    dn_mm: int


@dataclass(frozen=True, slots=True)
class _Amendment:
    ts: datetime
    index_ml: int | None
    source: str


@dataclass(frozen=True, slots=True)
class _Reading:
    ts: datetime
    index_ml: int


_REGISTER = "SELECT q3_l_h, register_max_ml, pulse_ml, dn_mm FROM meters WHERE meter_id = $1"

_AMENDMENTS = """
SELECT ts, index_ml, source FROM amendments
WHERE meter_id = $1 AND ts >= $2 AND ts < $3 AND withdrawn_at IS NULL ORDER BY ts
"""

_READINGS = """
SELECT ts, index_ml FROM readings WHERE meter_id = $1 AND ts >= $2 AND ts < $3
"""
_BEFORE = """
SELECT ts, index_ml FROM readings WHERE meter_id = $1 AND ts >= $2 AND ts < $3 ORDER BY ts DESC LIMIT $4
"""
_AFTER = """
SELECT ts, index_ml FROM readings WHERE meter_id = $1 AND ts >= $2 AND ts < $3 ORDER BY ts LIMIT $4
"""


async def list_consumption(
    pool: ReadPool, meter_id: MeterId, granularity: Granularity, first: date, last: date, zone: ZoneInfo,
    rules: Rules = STANDARD,
) -> list[ConsumptionRow]:  # fmt: skip
    """Consumption of the local days first..last, oldest first: the register's times the multiplier of its installation.

    Hours cover every hour of the period (with nothing known, `volume_ml` is None); days and months only those with a
    settled day. Raises RequestError when the period is empty, reversed or too long.
    """
    most = MAX_HOUR_DAYS if granularity is Granularity.HOUR else MAX_DAYS
    if not 0 <= (last - first).days < most:
        raise RequestError(f"a period of 1 to {most} days is needed for {granularity}, its first day before its last")
    register = await pool.fetch_one(_Register, _REGISTER, meter_id)
    if register is None:
        return []
    if granularity is Granularity.HOUR:
        rows = await _hours(pool, meter_id, register, (first, last), zone, rules)
    else:
        least = int(by_size(rules.stuck_days, np.array([register.dn_mm]))[0])
        rows = await settled_days(pool, meter_id, first, last, zone, least)
    known = await multipliers(pool, meter_id)
    rows = [times(row, known) for row in rows]
    return months_of(rows, zone) if granularity is Granularity.MONTH else rows


async def _hours(
    pool: ReadPool, meter_id: MeterId, register: _Register, days: tuple[date, date], zone: ZoneInfo, rules: Rules
) -> list[ConsumptionRow]:
    since, until = midnight(days[0], zone), midnight(days[1] + timedelta(days=1), zone)
    limits = Limits.of(register.q3_l_h, register.register_max_ml, register.pulse_ml)
    bridge_s = int(rules.bridge_s(np.array([register.dn_mm]))[0])
    from_s, to_s = int(since.timestamp()), int(until.timestamp())
    said = await pool.fetch(_Amendment, _AMENDMENTS, meter_id, since - BRIDGED, until + BRIDGED)
    found = await _readings(pool, meter_id, since, until)
    readings = _amended(found, said)
    curve = curve_of(readings, limits)
    gaps = long_gaps(curve, np.array([bridge_s], np.int64))
    seen = gaps.start_s[(gaps.start_s < to_s) & (curve.ts_s[gaps.step + 1] > from_s)]
    if len(seen):
        habits_from, known_from = int(seen.min()) - PROFILE_S, min(reading.ts for reading in found)
        found += await pool.fetch(_Reading, _READINGS, meter_id, datetime.fromtimestamp(habits_from, UTC), known_from)
        curve = filled_alone(_amended(found, said), limits, bridge_s, zone)
    known = hours(curve, zone, from_s, to_s)
    at = {int(start_s): position for position, start_s in enumerate(known.start_s)}
    return [_hour(known, at.get(start_s), start_s, zone) for start_s in range(from_s, to_s, HOUR_S)]


def _amended(found: list[_Reading], said: list[_Amendment]) -> Readings:
    laid_over = Amendments(
        np.zeros(len(said), np.int64),
        np.array([int(each.ts.timestamp()) for each in said], np.int64),
        np.array([VOID if each.index_ml is None else each.index_ml for each in said], np.int64),
        np.array([each.source == "person" for each in said], np.bool_),
    )
    ts_s = np.array([int(reading.ts.timestamp()) for reading in found], np.int64)
    index_ml = np.array([reading.index_ml for reading in found], np.int64)
    return amended(np.zeros(len(found), np.int64), ts_s, index_ml, laid_over)


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
