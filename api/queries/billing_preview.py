"""What closing a billing period would write down, before it is done: above all what would be billed by estimate."""

from __future__ import annotations

import heapq
import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from api.database import ReadPool
from api.queries.accounting import midnight
from api.queries.billing import PeriodRow
from api.queries.billing_lines import METERS_A_PAGE
from metering.errors import ConflictError

SHOWN_LINES = 20
_COUNTED = ("entries", "billed_ml", "edited", "interpolated", "estimated", "estimated_ml", "incomplete", "missing_days")


@dataclass(frozen=True, slots=True)
class DoubtfulLine:
    """An installation whose volume is not measured throughout."""

    serial: str
    billed_ml: int
    quality: str
    reasons: list[str]
    estimated_days: int
    interpolated_days: int
    missing_days: int


@dataclass(frozen=True, slots=True)
class Preview:
    """Counted are installations: one line each."""

    is_over: bool
    """The last day is over; before it is, the period cannot be closed."""
    entries: int
    billed_ml: int
    edited: int
    interpolated: int
    estimated: int
    """Lines whose weakest day is edited, interpolated, estimated; the others are measured."""
    estimated_ml: int
    """What the estimated lines are billed with in all."""
    incomplete: int
    """Lines with days missing, or not reached by readings at a midnight."""
    missing_days: int
    silent: int
    """Meters of these days of which nothing is known: they get no line. A district's inlet is none of them."""
    silent_serials: list[str]
    """Of these, at most SHOWN_LINES."""
    waiting_spans: int
    """Readings that settlement has not looked at yet; to close now would bill without them."""
    corrections: int
    corrected_ml: int
    """Of earlier periods, carried with this one."""
    doubtful: list[DoubtfulLine]
    """The worst, at most SHOWN_LINES."""


@dataclass(frozen=True, slots=True)
class _Beside:
    waiting_spans: int
    corrections: int
    corrected_ml: int


_PAGE = "SELECT meter_id FROM meters WHERE meter_id > $1 ORDER BY meter_id LIMIT $2"
_COUNT = """
WITH lines AS MATERIALIZED (SELECT * FROM billing_lines($1, $2, $3, $4::bigint[])), worst AS (
    SELECT m.serial, l.billed_ml, l.quality, l.reasons, l.estimated_days, l.interpolated_days,
           l.last_day - l.first_day + 1 - l.days AS missing_days
    FROM lines l JOIN meters m USING (meter_id)
    WHERE l.quality = 'estimated' OR NOT l.complete
    ORDER BY l.last_day - l.first_day + 1 - l.days + l.estimated_days DESC, l.billed_ml DESC, m.serial LIMIT $5
)
SELECT count(*) AS entries, COALESCE(sum(billed_ml), 0)::bigint AS billed_ml,
       count(*) FILTER (WHERE quality = 'edited') AS edited,
       count(*) FILTER (WHERE quality = 'interpolated') AS interpolated,
       count(*) FILTER (WHERE quality = 'estimated') AS estimated,
       COALESCE(sum(billed_ml) FILTER (WHERE quality = 'estimated'), 0)::bigint AS estimated_ml,
       count(*) FILTER (WHERE NOT complete) AS incomplete,
       COALESCE(sum(last_day - first_day + 1 - days), 0)::bigint AS missing_days,
       (SELECT COALESCE(json_agg(w), '[]') FROM worst w) AS doubtful
FROM lines
"""
_SILENT = """
SELECT serial FROM meters m
WHERE meter_id = ANY ($3::bigint[])
  AND EXISTS (SELECT FROM installations i WHERE i.meter_id = m.meter_id AND i.valid_from < $5
                                            AND COALESCE(i.valid_to, 'infinity') > $4)
  AND NOT EXISTS (SELECT FROM settled_days d WHERE d.meter_id = m.meter_id AND d.day BETWEEN $1 AND $2)
  AND NOT EXISTS (SELECT FROM zone_flows f WHERE f.meter_id = m.meter_id AND f.direction = 'in'
                                             AND f.valid_from < $5 AND COALESCE(f.valid_to, 'infinity') > $4)
ORDER BY serial
"""
_BESIDE = """
SELECT (SELECT count(*) FROM touched_spans) AS waiting_spans, count(*) AS corrections,
       COALESCE(sum(difference_ml), 0)::bigint AS corrected_ml
FROM billing_corrections WHERE carried_to IS NULL
"""


async def preview_period(pool: ReadPool, period: PeriodRow, zone: ZoneInfo, now: datetime) -> Preview:
    """As days are settled now, meter by page of meters: a million take many short statements, none a long one.

    Raises ConflictError when the period is closed.
    """
    if period.state != "open":
        raise ConflictError(f"{period.name} is closed already")
    first, last = period.first_day, period.last_day
    begin, end = midnight(first, zone), midnight(last + timedelta(days=1), zone)
    sums, doubtful, after = dict.fromkeys(_COUNTED, 0), list[DoubtfulLine](), 0
    silent, silent_serials = 0, list[str]()
    while meters := [row["meter_id"] for row in await pool.records(_PAGE, after, METERS_A_PAGE)]:
        after = meters[-1]
        (counted,) = await pool.records(_COUNT, first, last, zone.key, meters, SHOWN_LINES)
        for name in _COUNTED:
            sums[name] += counted[name]
        without = await pool.records(_SILENT, first, last, meters, begin, end)
        silent += len(without)
        silent_serials = (silent_serials + [row["serial"] for row in without])[:SHOWN_LINES]
        found = [DoubtfulLine(**line) for line in json.loads(counted["doubtful"])]
        doubtful = heapq.nlargest(SHOWN_LINES, doubtful + found, key=_worth_a_look)
    beside = await pool.fetch_one(_Beside, _BESIDE) or _Beside(0, 0, 0)
    return Preview(
        is_over=now >= end, silent=silent, silent_serials=silent_serials, waiting_spans=beside.waiting_spans,
        corrections=beside.corrections, corrected_ml=beside.corrected_ml, doubtful=doubtful, **sums,
    )  # fmt: skip


def _worth_a_look(line: DoubtfulLine) -> tuple[int, int]:
    return line.missing_days + line.estimated_days, line.billed_ml
