"""Days whose volume people gave or took away, laid over the days that readings give. Readings stay as they are."""

from __future__ import annotations

from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import numpy as np

from ingest.columns import columns
from metering.consumption import QUALITIES, Flag, Ints, day_of
from metering.model import Quality

from .days import Days

EDITED = QUALITIES.index(Quality.EDITED)
_DAY_BITS = 20
"""Days from 2000 to 2100 are fewer than 2^16."""

_IN_FORCE = """
SELECT string_agg(int8send(meter_id), ''), string_agg(int8send((day - $2::date)::bigint), ''),
       string_agg(int8send(COALESCE(volume_ml, 0)), '')
FROM (SELECT * FROM day_edits WHERE withdrawn_at IS NULL AND meter_id = ANY((SELECT $1::bigint[])::bigint[])
      ORDER BY meter_id, day) found"""


class DayEdits(NamedTuple):
    """At most one for each meter and day, sorted by both."""

    key: Ints
    volume_ml: Ints
    """Of the register; 0 where the day is void."""


_NONE: Ints = np.zeros(0, np.int64)
NO_EDITS = DayEdits(_NONE, _NONE)


async def in_force(connection: Any, meter_id: Ints, zone: ZoneInfo) -> DayEdits:
    """Of these meters."""
    meters, day, volume_ml = await columns(connection, _IN_FORCE, meter_id.tolist(), day_of(zone, 0))
    return DayEdits(_keys(meters, day), volume_ml)


def laid_over(days: Days, edits: DayEdits) -> Days:
    """What a person said is what was consumed; what the index says beyond that is excluded, as `days.write` has it."""
    if not len(edits.key) or not len(days.day):
        return days
    keys = _keys(days.meter_id, days.day)
    at = np.minimum(np.searchsorted(edits.key, keys), len(edits.key) - 1)
    edited = edits.key[at] == keys
    return days._replace(
        consumption_ml=np.where(edited, edits.volume_ml[at], days.consumption_ml),
        quality=np.where(edited, EDITED, days.quality),
        flags=np.where(edited, days.flags | Flag.EDITED, days.flags),
    )


def _keys(meter_id: Ints, day: Ints) -> Ints:
    return (meter_id << _DAY_BITS) + day
