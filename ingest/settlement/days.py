"""Writes settled days: from the curve of many meters to rows, each local day of a meter once."""

from __future__ import annotations

from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import numpy as np

from metering import consumption
from metering.consumption import Bools, Ints
from metering.model import Quality

from . import metrics
from .spans import Spans

_QUALITIES = [str(Quality.MEASURED), str(Quality.INTERPOLATED), str(Quality.ESTIMATED)]
_REASONS = [",".join(consumption.reasons(flags)) for flags in range(2 * max(consumption.Flag))]

_WRITE = """
INSERT INTO settled_days AS d (meter_id, day, start_index_ml, end_index_ml, consumption_ml, excluded_ml, quality,
                               reasons, complete, readings)
SELECT meter_id, $10::date + day, start_index_ml, end_index_ml, consumption_ml,
       end_index_ml - start_index_ml - consumption_ml, ($11::text[])[quality + 1],
       CASE flags WHEN 0 THEN '{}' ELSE string_to_array(($12::text[])[flags + 1], ',') END, complete, readings
FROM unnest($1::bigint[], $2::integer[], $3::bigint[], $4::bigint[], $5::bigint[], $6::integer[], $7::integer[],
            $8::boolean[], $9::integer[])
    AS n (meter_id, day, start_index_ml, end_index_ml, consumption_ml, quality, flags, complete, readings)
ON CONFLICT (meter_id, day) DO UPDATE
SET start_index_ml = EXCLUDED.start_index_ml, end_index_ml = EXCLUDED.end_index_ml,
    consumption_ml = EXCLUDED.consumption_ml, excluded_ml = EXCLUDED.excluded_ml, quality = EXCLUDED.quality,
    reasons = EXCLUDED.reasons, complete = EXCLUDED.complete, readings = EXCLUDED.readings, settled_at = now()
WHERE d.quality <> 'edited'
  AND (d.start_index_ml, d.end_index_ml, d.consumption_ml, d.quality, d.reasons, d.complete, d.readings)
      IS DISTINCT FROM
      (EXCLUDED.start_index_ml, EXCLUDED.end_index_ml, EXCLUDED.consumption_ml, EXCLUDED.quality, EXCLUDED.reasons,
       EXCLUDED.complete, EXCLUDED.readings)"""


class Days(NamedTuple):
    """Columns of `settled_days`; each meter and day once, in their order."""

    meter_id: Ints
    day: Ints
    """Counted from `consumption.midnights`."""
    start_index_ml: Ints
    end_index_ml: Ints
    consumption_ml: Ints
    quality: Ints
    """Position in `_QUALITIES`."""
    flags: Ints
    complete: Bools
    readings: Ints


def days_of(curve: consumption.Curve, changed: Spans, zone: ZoneInfo) -> Days:
    """The days that hold an instant of the spans, which are those of the meters of the curve by position."""
    _, first, _ = consumption.segments_of(curve)
    of = curve.meter[first]
    segment, number, days = consumption.days(curve, zone, changed.from_s[of], changed.to_s[of])
    span = of[np.searchsorted(curve.segment[first], segment)]
    quality = np.where(days.flags & consumption.EXCLUDED, 2, days.interpolated.astype(np.int64))
    once = _once(changed.meter_id[span], number)
    return Days(
        changed.meter_id[span][once], number[once], days.start_index_ml[once], days.end_index_ml[once],
        days.consumption_ml[once], quality[once], days.flags[once], days.complete[once], days.readings[once],
    )  # fmt: skip


def _once(meter_id: Ints, day: Ints) -> Ints:
    """Positions, sorted by meter and day, where each such pair stands first: spans of a meter may share a day."""
    order = np.lexsort((day, meter_id))
    new = np.ones(len(order), np.bool_)
    new[1:] = (np.diff(meter_id[order]) != 0) | (np.diff(day[order]) != 0)
    return order[new]


async def write(connection: Any, days: Days, zone: ZoneInfo) -> None:
    """Joins the caller's transaction. Unchanged days are not touched, nor are those that people edited."""
    for quality, name in enumerate(_QUALITIES):
        metrics.DAYS.labels(name).inc(int(np.count_nonzero(days.quality == quality)))
    if len(days.meter_id):
        columns = [column.tolist() for column in days]
        await connection.execute(_WRITE, *columns, consumption.day_of(zone, 0), _QUALITIES, _REASONS)
