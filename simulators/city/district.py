"""What flows into a district besides what its meters count: background losses, leaks of mains, the inlet meter. Pure.

Background losses follow pressure, which is higher at night; sizes are of the order that well-kept networks report (a
tenth of the inflow). The inlet meter has its own small error.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from simulators.city.plan import LEARNING_DAYS, CityOptions
from simulators.local_time import HOUR_S, local_text
from simulators.water.calendar import Floats

BACKGROUND = (0.06, 0.14)
"""Of the mean flow."""
PRESSURE_SWING, HIGHEST_AT_H = 0.12, 3
FLUSHING_SHARE, FLUSHING_HOURS = 0.08, 2
"""Of the mean flow, for these hours once in a while: hydrants are flushed, nobody meters it."""
FLUSHED_EVERY_DAYS = 21
INLET_ERROR = 0.005
MAIN_LEAKS = (("abrupt", 0.25), ("abrupt", 0.10), ("incipient", 0.30))
"""Kind and share of the mean flow, one after the other."""
LEAK_DAYS = (6, 14)
GROWS_DAYS = 5
LEAST_OF_ALL = 0.05
"""From this share of the whole city's mean flow on a district's leak is one of the whole city's, too."""
WHOLE = "DMA-V1"
NIGHT_HOURS = (2, 5)
L_PER_M3 = 1_000


class MainLeak(NamedTuple):
    kind: str
    from_h: int
    until_h: int
    rate_l_h: float
    share: float
    flow_l_h: Floats


class Inflow(NamedTuple):
    """Of a district, by hour: what its inlet meter sees, in litres, and the leaks that are in it."""

    name: str
    flow_l_h: Floats
    leaks: list[MainLeak]


def district_name(number: int) -> str:
    return f"D{number + 1:02d}"


def inflow(options: CityOptions, number: int, used_l_h: Floats) -> Inflow:
    """`used_l_h`: what all of the district's users and their leaks took in each hour."""
    draw = np.random.default_rng((options.seed, number, options.days, 1_000_171))
    hours, mean = np.arange(len(used_l_h)), float(used_l_h.mean())
    swing = 1 + PRESSURE_SWING * np.cos(2 * np.pi * (hours % 24 - HIGHEST_AT_H) / 24)
    background = draw.uniform(*BACKGROUND) * mean * swing
    flushed = np.zeros(len(hours))
    for day in range(int(draw.integers(FLUSHED_EVERY_DAYS)), options.days, FLUSHED_EVERY_DAYS):
        flushed[day * 24 + 9 : day * 24 + 9 + FLUSHING_HOURS] = FLUSHING_SHARE * mean
    leaks = _main_leaks(draw, options, mean, len(hours))
    flow = used_l_h + background + flushed + sum((leak.flow_l_h for leak in leaks), np.zeros(len(hours)))
    return Inflow(district_name(number), flow * draw.normal(1, INLET_ERROR, len(hours)), leaks)


def _main_leaks(draw: np.random.Generator, options: CityOptions, mean: float, hours: int) -> list[MainLeak]:
    """Each in a stretch of its own after the time to learn; short runs have only room for the first, or for none."""
    learning_h = min(LEARNING_DAYS, options.days // 3) * 24
    room = min(len(MAIN_LEAKS), (hours - learning_h) // (7 * 24))
    leaks = []
    for place, (kind, share) in enumerate(MAIN_LEAKS[:room]):
        stretch = (hours - learning_h) // room
        from_h = learning_h + place * stretch + int(draw.integers(0, max(1, stretch // 3)))
        until_h = min(from_h + int(draw.integers(*LEAK_DAYS)) * 24, learning_h + (place + 1) * stretch)
        grown = np.minimum(1, np.arange(until_h - from_h) / (GROWS_DAYS * 24)) if kind == "incipient" else 1.0
        flow = np.zeros(hours)
        flow[from_h:until_h] = share * mean * grown
        leaks.append(MainLeak(kind, from_h, until_h, share * mean, share, flow))
    return leaks


def night_flow_l_h(flow_l_h: Floats) -> float:
    by_day = flow_l_h.reshape(-1, 24)[:, slice(*NIGHT_HOURS)]
    return float(np.median(by_day))


def main_events(options: CityOptions, inflows: list[Inflow]) -> list[dict[str, Any]]:
    """As leakbench's truth has them. Of several districts each has its own, and the whole those that matter to it."""
    whole = sum((one.flow_l_h for one in inflows), np.zeros(options.days * 24))
    found = []
    for one in inflows:
        for leak in one.leaks:
            event = {
                "type": leak.kind,
                "start": local_text(options.start_s + leak.from_h * HOUR_S),
                "end": local_text(options.start_s + (leak.until_h - 1) * HOUR_S),
                "rate_m3h": leak.rate_l_h / L_PER_M3,
                "vol_m3": float(leak.flow_l_h.sum()) / L_PER_M3,
            }
            if len(inflows) > 1:
                found.append({"dma": one.name, **event, "frac_mnf": leak.rate_l_h / night_flow_l_h(one.flow_l_h)})
            if (of_all := leak.rate_l_h / float(whole.mean())) >= LEAST_OF_ALL:
                found.append({"dma": WHOLE, **event, "frac_mean": of_all})
    return found
