"""Consumption of a meter in a period: hours derived from readings, days as they were settled, months as their sums."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

from api.database import ReadPool
from api.queries.accounting import midnight
from metering.errors import RequestError
from metering.model import MeterId, Quality

MAX_HOUR_DAYS = 62
MAX_DAYS = 3_700


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
    """Index steps in it that are not water; always 0 for hours."""
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


_DAYS = """
SELECT day, consumption_ml, excluded_ml, quality, reasons, complete FROM settled_days
WHERE meter_id = $1 AND day >= $2 AND day <= $3
ORDER BY day
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
    return []
