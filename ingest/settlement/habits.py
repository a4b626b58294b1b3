"""Gaps that are spread by the meter's own hours of the day: what to read for them, and which new readings change."""

from __future__ import annotations

from typing import Any
from zoneinfo import ZoneInfo

import numpy as np

from ingest.columns import columns
from ingest.meters import Meters
from metering.consumption import (
    PROFILE_S,
    Curve,
    Ints,
    Readings,
    day_number,
    day_of,
    filled,
    long_gaps,
    midnights,
    profiles,
)

from . import metrics
from .reading import ReadingTable
from .spans import DAY_S, Spans, merged, sliced

_LATER_GAPS = """
SELECT string_agg(int8send(meter_id), ''), string_agg(int8send((day - $4::date)::bigint), '')
FROM (SELECT d.meter_id, d.day FROM unnest($1::bigint[], $2::integer[], $3::integer[]) AS s (meter_id, first, last)
      JOIN settled_days d ON d.meter_id = s.meter_id AND d.day > $4::date + s.first AND d.day <= $4::date + s.last
                         AND d.day > $5::date AND d.day <= $6::date
      WHERE d.reasons && '{long_gap}') found"""


async def with_gaps_filled(
    table: ReadingTable, curve: Curve, changed: Spans, meters: Meters, bridge_s: Ints, zone: ZoneInfo
) -> Curve:
    """The curve with the long gaps that the changed spans touch spread by what the meters took before them.

    `changed`, `meters` and `bridge_s` by position of the meter in the curve.
    """
    gaps = long_gaps(curve, bridge_s)
    touched = (gaps.start_s <= changed.to_s[gaps.meter] + DAY_S) & (
        curve.ts_s[gaps.step + 1] >= changed.from_s[gaps.meter] - DAY_S
    )
    gaps = type(gaps)(*(column[touched] for column in gaps))
    if not len(gaps.step):
        return curve
    before = Spans(changed.meter_id[gaps.meter], gaps.start_s - PROFILE_S, gaps.start_s)
    weights = []
    for part in sliced(before):
        of = before.only(part)
        read = (await table.read(of)).readings
        inside = read.ts_s <= of.to_s[read.meter]
        readings = Readings(read.meter[inside], read.ts_s[inside], read.index_ml[inside])
        weights.append(profiles(readings, meters.of(of.meter_id).limits, of.to_s, zone))
    found = np.concatenate(weights)
    metrics.ESTIMATED.inc(int(np.count_nonzero(found.any(axis=1))))
    return filled(curve, gaps, found, zone)


async def later_gaps(connection: Any, spans: Spans, zone: ZoneInfo) -> Spans:
    """Days with gaps that lie after these spans, within the time whose habits spread them; not to be asked for spans
    that have no readings after them."""
    if not len(spans.meter_id):
        return spans
    first, last = day_number(zone, spans.to_s) - 1, day_number(zone, spans.to_s + PROFILE_S) + 1
    bounds = day_of(zone, int(first.min())), day_of(zone, int(last.max()))
    meter_id, day = await columns(
        connection, _LATER_GAPS, spans.meter_id.tolist(), first.tolist(), last.tolist(), day_of(zone, 0), *bounds
    )
    starts = midnights(zone)[1]
    return merged(Spans(meter_id, starts[day], starts[day + 1] - 1)) if len(meter_id) else Spans(meter_id, day, day)
