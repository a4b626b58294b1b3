"""Which readings of a block arrive, and when: reports, outages, losses, clocks. Pure."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from simulators.city.plan import HOUR_LOST_SHARE, LOST_SHARE, Bools, CityPlan, Fleet
from simulators.local_time import DAY_S, HOUR_S
from simulators.outages import flush_s, outages
from simulators.radio import DELAY_S
from simulators.water.calendar import Ints
from simulators.water.faults import FaultKind
from simulators.water.users import BLOCK

NEW_BATTERY_MV = 3_650
BATTERY_MV_A_YEAR = (20, 32, 65)
"""By coverage level: whoever has to repeat and to shout lives shorter."""
YEAR_DAYS = 365
UNSENT = (FaultKind.NOREPORT, FaultKind.GAP)


class Reports(NamedTuple):
    """By meter of a block and report, one a day from the first day on to the day after the last."""

    due_s: Ints
    arrives_s: Ints
    """-1: never."""
    battery_mv: Ints


def reports(plan: CityPlan, number: int, fleet: Fleet) -> Reports:
    options = plan.options
    draw = np.random.default_rng((options.seed, number, options.start_s, 1_000_151))
    days = np.arange(options.days + 1)
    due = options.start_s + days * DAY_S + fleet.report_second[:, None]
    late = draw.exponential(1, due.shape) * np.array(DELAY_S)[fleet.ecl][:, None]
    arrives = due + np.ceil(late).astype(np.int64)
    lost = draw.random(due.shape) < np.array(LOST_SHARE)[fleet.ecl][:, None]
    flush = np.array([flush_s(number * BLOCK + place) for place in range(BLOCK)])
    for cell in np.unique(fleet.cell).tolist():
        of_cell = (fleet.cell == cell)[:, None]
        for begin_s, end_s in outages(options.seed, cell, options.start_s, options.end_s + DAY_S):
            caught = of_cell & (due >= begin_s) & (due < end_s)
            arrives = np.where(caught, end_s + flush[:, None], arrives)
            lost |= caught & ~fleet.keeps_backlog[:, None]
    used_mv = np.array(BATTERY_MV_A_YEAR)[fleet.ecl][:, None] * days // YEAR_DAYS
    battery = NEW_BATTERY_MV - draw.integers(0, 200, BLOCK)[:, None] - used_mv
    return Reports(due, np.where(lost, -1, arrives), battery)


def arrived(plan: CityPlan, number: int, fleet: Fleet, of: Reports, label_s: Ints) -> Bools:
    """By meter and label (full hours by the meter's clock): whether the reading is there in the end."""
    options = plan.options
    draw = np.random.default_rng((options.seed, number, int(label_s[0]), 1_000_159))
    carried_by = -(-(label_s[None, :] - options.start_s - fleet.report_second[:, None]) // DAY_S)
    there = np.take_along_axis(of.arrives_s >= 0, np.clip(carried_by, 0, options.days), axis=1)
    there &= draw.random(there.shape) >= HOUR_LOST_SHARE
    for place in range(BLOCK):
        fault = plan.faults.get(number * BLOCK + place)
        if fault is not None and fault.kind in UNSENT:
            there[place] &= (label_s < fault.from_s) | (label_s >= fault.from_s + fault.lasts_s)
    return there


def by_its_clock(fleet: Fleet, start_s: int, label_s: Ints, register_ml: Ints) -> Ints:
    """What registers show when the meters' clocks show the labels. `register_ml`: at these full hours and the next."""
    behind = fleet.behind_s[:, None] + fleet.slow_s_a_day[:, None] * ((label_s - start_s) / DAY_S)
    part = np.clip(behind / HOUR_S, 0, 1)
    step = np.diff(register_ml, axis=1)
    return register_ml[:, :-1] + np.floor(step * part).astype(np.int64)
