"""From readings to the flow of each hour: a grid of meters and hours. Pure."""

from __future__ import annotations

import numpy as np

from metering.consumption import EXCLUDED, HOUR_S, Curve, Ints

from .habits import Floats

LONGEST_STEP_S = 5_400
"""Readings are hourly or closer; over a longer step nobody knows when the water flowed, unless none did."""
COVERED_S = 2_700
"""An hour is known when steps that end in it make up so much."""
TIMES_Q4 = 2
"""A step that is so many times faster than the overload flow rate, either way, is no water."""


def counted(curve: Curve) -> tuple[Ints, Ints, Ints]:
    """Meter, time and running volume (ml) of the curve's readings, of which `flow_grid` makes hours.

    Bridged readings are not there, a register that rolled over ran on, corrections count. Steps that are no water by
    the curve are taken as the register shows them: they may have run back. A newest reading that ends such a step is
    left out until the next one says whether it was wrong.
    """
    excluded = (curve.flags[:-1] & EXCLUDED) != 0
    steps = np.where(excluded, np.diff(curve.index_ml), np.diff(curve.water_ml))
    steps[curve.segment[1:] != curve.segment[:-1]] = 1  # not a rest: nobody knows what flowed in such a silence
    running = np.zeros(len(curve.ts_s), np.int64)
    np.cumsum(steps, out=running[1:])
    kept = np.ones(len(running), np.bool_)
    last = np.append(curve.meter[1:] != curve.meter[:-1], True)[: len(running)]
    kept[1:] = ~(last[1:] & excluded & (curve.meter[1:] == curve.meter[:-1]))
    return curve.meter[kept], curve.ts_s[kept], running[kept]


def flow_grid(meter: Ints, ts_s: Ints, index_ml: Ints, q4_ml_h: Ints, from_s: int, hours: int) -> Floats:
    """Litres in each hour from `from_s` on, (meter, hour); NaN unknown, negative where the register ran back.

    Readings are sorted by meter and time, each instant once; `meter` are positions in `q4_ml_h`. A step belongs to the
    hour that holds its end.
    """
    meters = len(q4_ml_h)
    grid = np.zeros(meters * hours)
    covered = np.zeros(meters * hours, np.int64)
    same = meter[1:] == meter[:-1]
    of, begin, end = meter[1:][same], ts_s[:-1][same], ts_s[1:][same]
    volume = np.diff(index_ml)[same]
    length = end - begin
    real = np.abs(volume) <= TIMES_Q4 * q4_ml_h[of] * length // HOUR_S
    slot = (end - from_s) // HOUR_S
    short = real & (length <= LONGEST_STEP_S) & (slot >= 0) & (slot < hours)
    at = of[short] * hours + slot[short]
    np.add.at(grid, at, volume[short] / 1_000)
    np.add.at(covered, at, length[short])
    for i in np.flatnonzero((length > LONGEST_STEP_S) & (volume == 0)).tolist():
        low, high = max(0, int((begin[i] - from_s) // HOUR_S) + 1), min(hours, int(slot[i]) + 1)
        covered[of[i] * hours + low : of[i] * hours + max(low, high)] = HOUR_S
    grid[covered < COVERED_S] = np.nan
    return grid.reshape(meters, hours).astype(np.float32)
