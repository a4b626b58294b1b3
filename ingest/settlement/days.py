"""Writes settled days: from the curve of many meters to rows, each local day of a meter once."""

from __future__ import annotations

from datetime import date
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import numpy as np

from metering import consumption
from metering.consumption import Bools, Ints

from . import metrics
from .spans import Spans

_QUALITIES = [str(quality) for quality in consumption.QUALITIES]

_WRITE = """
INSERT INTO settled_days AS d (meter_id, day, start_index_ml, end_index_ml, consumption_ml, excluded_ml, quality,
                               reasons, complete, readings)
SELECT meter_id, $10::date + day, start_index_ml, end_index_ml, consumption_ml,
       end_index_ml - start_index_ml - consumption_ml, ($11::text[])[quality + 1],
       string_to_array(($12::text[])[flags + 1], ','), complete, readings
FROM unnest($1::bigint[], $2::integer[], $3::bigint[], $4::bigint[], $5::bigint[], $6::integer[], $7::integer[],
            $8::boolean[], $9::integer[])
    AS n (meter_id, day, start_index_ml, end_index_ml, consumption_ml, quality, flags, complete, readings)
ON CONFLICT (meter_id, day) DO UPDATE
SET start_index_ml = EXCLUDED.start_index_ml, end_index_ml = EXCLUDED.end_index_ml,
    consumption_ml = EXCLUDED.consumption_ml, excluded_ml = EXCLUDED.excluded_ml, quality = EXCLUDED.quality,
    reasons = EXCLUDED.reasons, complete = EXCLUDED.complete, readings = EXCLUDED.readings, settled_at = now()
WHERE (d.start_index_ml, d.end_index_ml, d.consumption_ml, d.quality, d.reasons, d.complete, d.readings)
   IS DISTINCT FROM
   (EXCLUDED.start_index_ml, EXCLUDED.end_index_ml, EXCLUDED.consumption_ml, EXCLUDED.quality, EXCLUDED.reasons,
    EXCLUDED.complete, EXCLUDED.readings)"""


_FORGET = """
WITH reached AS (
    SELECT m.meter_id, LEAST(min(a.ts), (
               SELECT min(r.ts) FROM readings r WHERE r.meter_id = m.meter_id AND r.ts <> ALL (m.voided))) AS first,
           GREATEST(max(a.ts), (
               SELECT max(r.ts) FROM readings r WHERE r.meter_id = m.meter_id AND r.ts <> ALL (m.voided))) AS last
    FROM (SELECT meter_id, ARRAY(SELECT v.ts FROM amendments v WHERE v.meter_id = asked.meter_id
                                 AND v.withdrawn_at IS NULL AND v.index_ml IS NULL) AS voided
          FROM unnest($1::bigint[]) AS asked (meter_id)) m
    LEFT JOIN amendments a ON a.meter_id = m.meter_id AND a.withdrawn_at IS NULL AND a.index_ml IS NOT NULL
    GROUP BY m.meter_id, m.voided
)
DELETE FROM settled_days d USING reached r
WHERE d.meter_id = r.meter_id AND (r.first IS NULL OR d.day < (r.first AT TIME ZONE $2)::date
                                   OR d.day > (r.last AT TIME ZONE $2)::date)"""

_CLOSED_UNTIL = "SELECT max(last_day) FROM billing_periods WHERE state = 'closed'"
_RECHECK = "SELECT billing_recheck($1::bigint[], $2::date, $3::date, $4)"


class Days(NamedTuple):
    """Columns of `settled_days`; each meter and day once, in their order."""

    meter_id: Ints
    day: Ints
    """Counted from `consumption.midnights`."""
    start_index_ml: Ints
    end_index_ml: Ints
    consumption_ml: Ints
    quality: Ints
    """Position in `metering.consumption.QUALITIES`."""
    flags: Ints
    complete: Bools
    readings: Ints


def days_of(curve: consumption.Curve, changed: Spans, zone: ZoneInfo) -> Days:
    """The days that hold an instant of the spans, which are those of the meters of the curve by position."""
    _, first, _ = consumption.segments_of(curve)
    of = curve.meter[first]
    segment, number, days = consumption.days(curve, zone, changed.from_s[of], changed.to_s[of])
    span = of[np.searchsorted(curve.segment[first], segment)]
    once = _once(changed.meter_id[span], number)
    return Days(
        changed.meter_id[span][once], number[once], days.start_index_ml[once], days.end_index_ml[once],
        days.consumption_ml[once], days.qualities[once], days.flags[once], days.complete[once], days.readings[once],
    )  # fmt: skip


def _once(meter_id: Ints, day: Ints) -> Ints:
    """Positions, sorted by meter and day, where each such pair stands first: spans of a meter may share a day."""
    order = np.lexsort((day, meter_id))
    new = np.ones(len(order), np.bool_)
    new[1:] = (np.diff(meter_id[order]) != 0) | (np.diff(day[order]) != 0)
    return order[new]


async def write(connection: Any, days: Days, zone: ZoneInfo) -> None:
    """Joins the caller's transaction. Unchanged days are not touched."""
    for quality, name in enumerate(_QUALITIES):
        metrics.DAYS.labels(name).inc(int(np.count_nonzero(days.quality == quality)))
    if len(days.meter_id):
        kinds, flags = np.unique(days.flags, return_inverse=True)
        reasons = [",".join(consumption.reasons(kind)) for kind in kinds.tolist()]
        columns = [column.tolist() for column in days._replace(flags=flags)]
        await connection.execute(_WRITE, *columns, consumption.day_of(zone, 0), _QUALITIES, reasons)


async def forget_unreached(connection: Any, meter_id: Ints, zone: ZoneInfo) -> None:
    """Deletes the days of these meters that no reading reaches any more, since a person took it away."""
    await connection.execute(_FORGET, meter_id.tolist(), zone.key)


async def closed_until(connection: Any) -> date | None:
    """The last day of all closed billing periods."""
    found: date | None = await connection.fetchval(_CLOSED_UNTIL)
    return found


async def recheck_billed(connection: Any, changed: Spans, closed: date | None, zone: ZoneInfo) -> None:
    """Where days of closed billing periods were settled anew, notes as corrections what turned out different."""
    if closed is None or not len(changed.meter_id):
        return
    bound = consumption.midnights(zone)[1][closed.toordinal() + 1 - consumption.midnights(zone)[0]]
    old = changed.only(changed.from_s < bound)
    if len(old.meter_id):
        first, last = consumption.day_number(zone, np.array([old.from_s.min(), old.to_s.max()]))
        bounds = [consumption.day_of(zone, int(number)) for number in (first, last)]
        added = await connection.fetchval(_RECHECK, np.unique(old.meter_id).tolist(), *bounds, zone.key)
        metrics.CORRECTIONS.inc(added)
