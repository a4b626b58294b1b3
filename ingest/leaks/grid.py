"""From readings to the flow of each hour: a grid of meters and hours. Pure."""

from __future__ import annotations

import numpy as np

from metering.consumption import HOUR_S, MAX_SPREAD_S, Ints, Limits, Readings

from .habits import Floats

LONGEST_STEP_S = 5_400
"""Readings are hourly or closer; over a longer step nobody knows when the water flowed, unless none did."""
COVERED_S = 2_700
"""An hour is known when steps that end in it make up so much."""
TIMES_Q4 = 2
"""A step that is so many times faster than the overload flow rate, either way, is no water."""


def counted(readings: Readings, limits: Limits) -> tuple[Ints, Ints, Ints]:
    """Meter, time and running volume (ml) of readings, of which `flow_grid` makes hours: the register's steps as they
    are, but that it may have rolled over.

    Not the validated curve: that bridges a reading lower than both its neighbours, and so hides an hour that ran back.
    """
    meter, ts_s, index_ml = readings.meter, readings.ts_s, readings.index_ml
    steps, length_s = np.diff(index_ml), np.diff(ts_s)
    of = meter[1:]
    rolled = steps + limits.register_max_ml[of]
    most = limits.q4_ml_h[of] * np.minimum(length_s, MAX_SPREAD_S) // HOUR_S + limits.resolution_ml[of]
    steps = np.where((steps < 0) & (rolled >= 0) & (rolled <= most), rolled, steps)
    steps[length_s > MAX_SPREAD_S] = 1  # not a rest: nobody knows what flowed in such a silence
    running = np.zeros(len(ts_s), np.int64)
    np.cumsum(steps, out=running[1:])
    return meter, ts_s, running


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
