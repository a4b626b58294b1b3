"""Our own leak detector, pure: a day of hourly flows of many meters against what is known of each.

A leak is suspected when the evidence of one test exceeds what is needed, has lasted, and exceeds the highest the home
ever had without being alerted; each hour counts by how seldom the home uses so much water at that hour. Unknown hours
say nothing. Days that look suspicious are not learned. `look` may be called again with more hours of the same day, on
the state as it was before; what it finds at an hour depends on nothing later.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from metering.leak_settings import LeakSettings

from . import faults
from .events import Event, Kind, Phase
from .habits import CYCLIC, DAY_H, NONE, RECENT_H, TESTS, Floats, States, answers, learn, sizes, weights

CONFIRMED_TIMES = 1.5
"""A leak is confirmed when its evidence is so many times what is needed, or after a second period of `least_hours`."""
MOST_TIMES = 2.0
"""Evidence grows no further than so many times what is needed, or a long leak would take as long again to clear."""
CLEARED_SHARE = 0.2
"""It has cleared when the evidence of its kind, steady or cyclic, is below this share of what is needed."""
NEAREST_TIMES = 3.0
"""A home's tests need so many times the share of the usual evidence that the nearest of them ever reached by itself,
not below `evidence_calm` and not above `evidence`."""
LOWEST_SHARE = 0.25
"""The lowest share of the leak's hours is what flows when nobody uses water."""
INTERVAL = (0.1, 0.5)
"""Quantiles of those hours: the interval of the estimate."""


class Outcome(NamedTuple):
    """What a look found."""

    states: States
    """Of the day after when the day was whole, else to be thrown away."""
    events: list[Event]
    """In order of time per meter."""


def look(states: States, flow: Floats, weekend: bool, settings: LeakSettings) -> Outcome:
    """The first hours (or all) of the day that the states wait for; `flow` in litres, (meter, hour), NaN unknown. All
    levels are in proportion to the meters' `sizes`."""
    size = sizes(states)
    found = _look(states, (flow / size[:, None]).astype(np.float32), weekend, settings)
    return found._replace(events=[_of_size(event, float(size[event.meter])) for event in found.events])


def _of_size(event: Event, size: float) -> Event:
    """In litres an hour again."""
    if event.rate_l_h is None or event.interval_l_h is None:
        return event
    low, high = event.interval_l_h
    return event._replace(rate_l_h=event.rate_l_h * size, interval_l_h=(low * size, high * size))


def _look(states: States, flow: Floats, weekend: bool, settings: LeakSettings) -> Outcome:
    states = states.copy()
    found = answers(states["recent"], flow)
    needed = _needed(states, settings)
    events = faults.bursts_and_reverse(states, flow, settings) + faults.stuck(states, flow, settings)
    highest = np.zeros((len(states), len(TESTS)), np.float32)
    up, down = weights(states, weekend, flow.shape[1])
    levels = [test.level for test in TESTS]
    least = np.array([test.least_times for test in TESTS]) * settings.least_hours
    for hour in range(flow.shape[1]):
        number = states["day"] * DAY_H + hour
        answer = found[:, hour][:, levels]
        step = np.where(answer == 1, up[:, hour], np.where(answer == 0, down[:, hour], 0))
        evidence = np.clip(states["evidence"] + step, 0, MOST_TIMES * needed)
        states["began"] = np.where(evidence <= 0, number[:, None] + 1, states["began"])
        states["evidence"] = evidence
        np.maximum(highest, evidence, out=highest)
        share = evidence / needed
        lasted = number[:, None] + 1 - states["began"] >= least
        events += _leaks(states, flow[:, : hour + 1], number, share, lasted, settings)
    if flow.shape[1] < DAY_H:
        return Outcome(states, events)
    _close_day(states, flow, found, weekend, highest, needed, settings)
    return Outcome(states, events + faults.under_registering(states, flow, settings))


def shares(states: States, settings: LeakSettings) -> Floats:
    """Evidence of each test of each meter in terms of what it needs."""
    found: Floats = (states["evidence"] / _needed(states, settings)).astype(np.float32)
    return found


def _needed(states: States, settings: LeakSettings) -> Floats:
    """Evidence at which each test of each meter suspects a leak: less in a home that by itself never came near."""
    usual = np.array([test.needed for test in TESTS], np.float32)
    nearest = (states["highest"] / usual).max(axis=1, keepdims=True)
    times = np.minimum(np.maximum(NEAREST_TIMES * nearest, settings.evidence_calm), settings.evidence)
    needed: Floats = np.maximum(times * usual, settings.own_highest * states["highest"]).astype(np.float32)
    return needed


def _leaks(
    states: States, flow: Floats, number: NDArray[np.int32], share: Floats, lasted: NDArray[np.bool_],
    settings: LeakSettings,
) -> list[Event]:  # fmt: skip
    """What this hour changes: leaks suspected, confirmed, cleared."""
    known_long = states["days"] >= settings.first_days
    raised = states["leak_h"] != NONE
    convincing = np.where(lasted, share, 0)
    new = known_long & ~raised & (convincing > 1).any(axis=1)
    again = number - states["leak_h"] >= settings.least_hours
    sure = raised & (states["confirmed"] == 0) & ((convincing > CONFIRMED_TIMES).any(axis=1) | again)
    sure &= (share > 1).any(axis=1)
    over = raised & _rested(states["leak_test"], share)
    events = []
    for at in np.flatnonzero(new).tolist():
        test = int(np.argmax(convincing[at]))
        states["leak_h"][at], states["leak_test"][at], states["confirmed"][at] = number[at], test, 0
        events.append(_leak(states, flow, at, int(number[at]), test, float(share[at, test]), Phase.SUSPECTED))
    for at in np.flatnonzero(sure).tolist():
        test = int(states["leak_test"][at])
        states["confirmed"][at] = 1
        events.append(_leak(states, flow, at, int(number[at]), test, float(share[at, test]), Phase.CONFIRMED))
    for at in np.flatnonzero(over).tolist():
        test = int(states["leak_test"][at])
        states["leak_h"][at] = NONE
        states["evidence"][at], states["began"][at] = 0, int(number[at]) + 1
        events.append(Event(at, Kind.LEAK, Phase.CLEARED, int(number[at]), int(number[at]), None, None, test, 0.0))
    return events


def _rested(raised_by: NDArray[np.int32], share: Floats) -> NDArray[np.bool_]:
    """Whether the tests of the kind that raised a leak say no more of it: those of the other kind forget slowly."""
    low = share < CLEARED_SHARE
    rested: NDArray[np.bool_] = np.where(raised_by >= CYCLIC, low[:, CYCLIC:].all(axis=1), low[:, :CYCLIC].all(axis=1))
    return rested


def _leak(states: States, flow: Floats, at: int, number: int, test: int, share: float, phase: Phase) -> Event:
    hours = np.concatenate([states["recent"][at], flow[at]])
    begin = int(states["began"][at, test])
    lasting = min(max(number + 1 - begin, 6), RECENT_H, len(hours))
    within = hours[-lasting:]
    rate, interval = leak_rate(within[~np.isnan(within)], test >= CYCLIC, TESTS[test].level)
    return Event(at, Kind.LEAK, phase, number, begin, rate, interval, test, share)


def leak_rate(hours: Floats, cyclic: bool, level: int) -> tuple[float | None, tuple[float, float] | None]:
    """Litres an hour, with an interval: of a leak that never rests its lowest hours, of a cyclic one the low hours
    among those that flow; of a drip the mean of the lower half."""
    if cyclic:
        hours = hours[hours >= faults.CYCLIC_FLOWS_L]
    if not len(hours):
        return None, None
    drip = level > faults.SINGLE_HOURS
    count = max(2, int(len(hours) * (0.5 if drip else LOWEST_SHARE)))
    lowest = np.sort(hours)[:count]
    low, high = np.quantile(np.sort(hours)[: max(2, 2 * count)], INTERVAL)
    rate = float(lowest.mean())
    return rate, (min(float(low), rate), max(float(high), rate))


def _close_day(
    states: States, flow: Floats, found: NDArray[np.int8], weekend: bool, highest: Floats, needed: Floats,
    settings: LeakSettings,
) -> None:  # fmt: skip
    """Habits, if the day was like others; and on to the next day."""
    early = states["days"] < settings.first_days
    usual = (highest < settings.learn_below * needed).all(axis=1) | early
    learn(states, found, weekend, usual, settings)
    fading = np.float32(0.5 ** (0.5 / settings.half_life_days))
    raised = np.maximum(states["highest"] * fading, highest)
    states["highest"] = np.where(usual[:, None], raised, states["highest"])
    states["recent"] = np.concatenate([states["recent"], flow], axis=1)[:, -RECENT_H:]
    states["day"] += 1
    states["days"] += 1
