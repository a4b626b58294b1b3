"""The registers of a block, faults included, and what its users took from the district. Pure."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import numpy as np

from simulators.city.plan import CityPlan
from simulators.households import Household
from simulators.local_time import HOUR_S
from simulators.water.block import ML_PER_L, hourly_ml
from simulators.water.calendar import Floats, Ints
from simulators.water.users import BLOCK


class Registers(NamedTuple):
    """By meter of the block: the register at each full hour of a span, in ml; what flowed out of the main between
    them, in ml; by number of those with a fault, what the registers gained or lost by it until the span's end, in l."""

    register_ml: Ints
    taken_ml: Ints
    changed_l: dict[int, float]


def registers(plan: CityPlan, number: int, from_s: int, hours: int) -> Registers:
    """At `hours` + 1 full hours."""
    seed = plan.options.seed
    water = hourly_ml(seed, number, from_s, hours)
    register, true, changed = water.copy(), water.copy(), dict[int, float]()
    ts_s = from_s + np.arange(hours + 1) * HOUR_S
    for place in range(BLOCK):
        who = number * BLOCK + place
        fault = plan.faults.get(who)
        if fault is None:
            continue
        effect = fault.on_register_ml(ts_s, water[place], partial(_water_ml, plan, Household(seed, who, None)))
        register[place] += effect
        changed[who] = float(effect[-1]) / ML_PER_L
        if not fault.kind.in_the_meter:
            true[place] += effect
    return Registers(np.maximum(register, 0), np.diff(true, axis=1), changed)


def _water_ml(plan: CityPlan, home: Household, ts_s: int) -> int:
    """Remembered: later weeks ask for the bounds of a fault's spell, too, when that week's water is forgotten."""
    known = plan.known_water_ml.get((home.number, ts_s))
    if known is None:
        known = plan.known_water_ml[home.number, ts_s] = home.water_ml(ts_s)
    return known


def by_district(district: Ints, taken_ml: Ints, districts: int) -> Floats:
    """Litres by district and hour."""
    belongs = (district[None, :] == np.arange(districts)[:, None]).astype(float)
    litres: Floats = belongs @ taken_ml / ML_PER_L
    return litres
