"""The night minimum of a home before its leak began: read when a leak is raised, for few meters at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import numpy as np

from ingest.leaks.grid import counted, flow_grid
from ingest.leaks.habits import DAY_H
from ingest.meters import Meters

from .evidence import night_minimum_ml
from .local_hours import day_of, local_hours, midnight_s
from .readings import read

NIGHTS = 14
MAX_METERS = 200
"""Of one statement."""
MAX_READINGS = 1_000_000
"""Of one statement; where there are more, the minimum of these meters stays unknown."""


class Asked(NamedTuple):
    meter_id: int
    began_s: int


async def minimum_before_ml(
    connection: Any, asked: Sequence[Asked], meters: Meters, zone: ZoneInfo
) -> dict[int, int | None]:
    """The median of the least hourly flows (ml) in the NIGHTS nights before the local day on which it began; None where
    no hour of a night is known."""
    known: dict[int, int | None] = {}
    earliest_first = sorted(asked, key=lambda one: one.began_s)
    for low in range(0, len(asked), MAX_METERS):
        known |= await _of(connection, sorted(earliest_first[low : low + MAX_METERS]), meters, zone)
    return known


async def _of(connection: Any, asked: Sequence[Asked], meters: Meters, zone: ZoneInfo) -> dict[int, int | None]:
    meter_id = np.array([one.meter_id for one in asked], np.int64)
    end_day = day_of(zone, np.array([one.began_s for one in asked], np.int64))
    from_s = midnight_s(zone, end_day - NIGHTS)
    until_s = int(midnight_s(zone, end_day).max())
    readings = await read(connection, meter_id, from_s, MAX_READINGS, until_s)
    if readings is None or not len(readings.ts_s):
        return {}
    limits = meters.of(meter_id).limits
    meter, ts_s, running = counted(readings, limits)
    first_day = int(end_day.min()) - NIGHTS
    local = local_hours(zone, first_day, int(end_day.max()) - first_day)
    flow = local.of(flow_grid(meter, ts_s, running, limits.q4_ml_h, local.from_s, local.utc_hours))
    return {
        one.meter_id: night_minimum_ml(hours[(end - NIGHTS - first_day) * DAY_H : (end - first_day) * DAY_H], 0)
        for one, hours, end in zip(asked, flow, end_day.tolist(), strict=True)
    }
