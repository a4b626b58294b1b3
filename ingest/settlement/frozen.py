"""The sum check: an index that a meter froze at its settlement day against ours at that midnight."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np

from ingest.columns import columns
from ingest.meters import Meters
from metering.billing import REPORTED_WITHIN
from metering.consumption import Flag, Ints, day_of, midnights

from .days import Days

_SAID = """
SELECT string_agg(int8send(meter_id), ''), string_agg(int8send(index_ml), '')
FROM (SELECT DISTINCT ON (meter_id) meter_id, (extra->>'settlement_index_ml')::bigint AS index_ml FROM reports
      WHERE meter_id = ANY((SELECT $1::bigint[])::bigint[]) AND extra->>'settlement_index_ml' ~ '^[0-9]{1,17}$'
        AND received_at >= to_timestamp($2::bigint) AND received_at < to_timestamp($3::bigint)
      ORDER BY meter_id, received_at DESC) said"""


async def compared(connection: Any, days: Days, meters: Meters, zone: ZoneInfo, settlement_day: int) -> Days:
    """With SUM_MISMATCH on the days that end where meters froze their index, where that is known and differs by more
    than a count. Asks the database only for such days, one in a month. `meters`: by position in the curve, each once
    or more."""
    if not settlement_day or not len(days.day):
        return days
    flags = days.flags.copy()
    starts = midnights(zone)[1]
    for day in np.unique(days.day).tolist():
        if (day_of(zone, day) + timedelta(days=1)).day == settlement_day:
            at = np.flatnonzero((days.day == day) & days.complete)
            end_s = int(starts[day + 1])
            until_s = end_s + int(REPORTED_WITHIN.total_seconds())
            said = await columns(connection, _SAID, days.meter_id[at].tolist(), end_s, until_s)
            flags[at[_differ(days.meter_id[at], days.end_index_ml[at], meters, *said)]] |= Flag.SUM_MISMATCH
    return days._replace(flags=flags)


def _differ(meter_id: Ints, index_ml: Ints, meters: Meters, said_by: Ints, said_ml: Ints) -> Ints:
    """Positions of the meters whose own index is another."""
    known, first = np.unique(meters.meter_id, return_index=True)
    pulse_ml = meters.pulse_ml[first[np.searchsorted(known, meter_id)]]
    asked = np.flatnonzero(np.isin(meter_id, said_by))
    order = np.argsort(said_by)
    theirs = said_ml[order[np.searchsorted(said_by[order], meter_id[asked])]]
    found: Ints = asked[np.abs(theirs - index_ml[asked]) > pulse_ml[asked]]
    return found
