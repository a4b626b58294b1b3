"""Settled days of a meter as people read them: times the multiplier of its installation, with what whole days tell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from api.database import ReadPool
from api.queries.accounting import midnight
from metering.consumption import stuck
from metering.model import MeterId, Quality

STUCK = "stuck"
"""Reason of a day in a long run without any water."""
MAX_STUCK_DAYS = 400


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
class Day:
    """As it is stored: of the register."""

    day: date
    consumption_ml: int
    excluded_ml: int
    quality: str
    reasons: list[str]
    complete: bool


@dataclass(frozen=True, slots=True)
class Multiplier:
    """How many times the register's volume an installation stands for, from its begin on."""

    valid_from: datetime
    multiplier: int


_DAYS = """
SELECT day, consumption_ml, excluded_ml, quality, reasons, complete FROM settled_days
WHERE meter_id = $1 AND day >= $2 AND day <= $3
ORDER BY day
"""
_MULTIPLIERS = """
SELECT valid_from, multiplier FROM installations
WHERE meter_id = $1 AND EXISTS (SELECT FROM installations WHERE meter_id = $1 AND multiplier <> 1)
ORDER BY valid_from DESC LIMIT 1000
"""
_WEAKNESS = (Quality.MEASURED, Quality.EDITED, Quality.INTERPOLATED, Quality.ESTIMATED)


async def multipliers(pool: ReadPool, meter_id: MeterId) -> list[Multiplier]:
    """The newest first; none where all are 1."""
    return await pool.fetch(Multiplier, _MULTIPLIERS, meter_id)


def times(row: ConsumptionRow, known: Sequence[Multiplier]) -> ConsumptionRow:
    """The row with the multiplier of the installation that began last by its end."""
    factor = next((each.multiplier for each in known if each.valid_from < row.end), 1)
    if factor == 1 or row.volume_ml is None:
        return row
    return replace(row, volume_ml=row.volume_ml * factor, excluded_ml=row.excluded_ml * factor)


async def settled_days(
    pool: ReadPool, meter_id: MeterId, first: date, last: date, zone: ZoneInfo, stuck_days: int
) -> list[ConsumptionRow]:
    """The settled days first..last, oldest first; STUCK from `stuck_days` days in a row without water on."""
    beside = timedelta(days=min(stuck_days, MAX_STUCK_DAYS) - 1)
    found = await pool.fetch(Day, _DAYS, meter_id, first - beside, last + beside)
    still = _stuck(found, stuck_days)
    return [_row(day, zone, is_stuck) for day, is_stuck in zip(found, still, strict=True) if first <= day.day <= last]


def _stuck(days: Sequence[Day], least: int) -> list[bool]:
    """Per calendar day: a day that is not settled ends a run."""
    if not days:
        return []
    whole = {day.day: day for day in days}
    calendar = [days[0].day + timedelta(days=n) for n in range((days[-1].day - days[0].day).days + 1)]
    there = [whole.get(day) for day in calendar]
    volumes = [day.consumption_ml if day else 1 for day in there]
    found = stuck(volumes, [bool(day and day.complete) for day in there], least)
    return [bool(found[(day.day - days[0].day).days]) for day in days]


def _row(day: Day, zone: ZoneInfo, is_stuck: bool) -> ConsumptionRow:
    return ConsumptionRow(
        midnight(day.day, zone),
        midnight(day.day + timedelta(days=1), zone),
        day.consumption_ml,
        day.excluded_ml,
        Quality(day.quality),
        (*day.reasons, *((STUCK,) if is_stuck else ())),
        day.complete,
    )


def months_of(days: Sequence[ConsumptionRow], zone: ZoneInfo) -> list[ConsumptionRow]:
    """Sums of days. A month is complete when each of its days is there and complete."""
    months: dict[date, list[ConsumptionRow]] = {}
    for row in days:
        months.setdefault(row.start.astimezone(zone).date().replace(day=1), []).append(row)
    return [_month(first, rows, zone) for first, rows in months.items()]


def _month(first: date, rows: list[ConsumptionRow], zone: ZoneInfo) -> ConsumptionRow:
    following = (first + timedelta(days=31)).replace(day=1)
    return ConsumptionRow(
        midnight(first, zone),
        midnight(following, zone),
        sum(row.volume_ml or 0 for row in rows),
        sum(row.excluded_ml for row in rows),
        max((row.quality or Quality.MEASURED for row in rows), key=_WEAKNESS.index),
        tuple(sorted({reason for row in rows for reason in row.reasons})),
        len(rows) == (following - first).days and all(row.complete for row in rows),
    )
