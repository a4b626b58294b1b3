"""Faults that are no slow leak: bursts, reverse flow, stuck and under-registering meters. Pure; see `detector`."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from metering.leak_settings import LeakSettings

from .events import Event, Kind, Phase
from .habits import DAY_H, NONE, PAST_DAYS, SIZES, Floats, States

CYCLIC_FLOWS_L = 8.0
"""An hour with less is a rest of a cyclic leak."""
SINGLE_HOURS = 5
"""Levels after this one ask several hours together."""
REVERSE_L = 1.0
"""More than one count of a household register must have run back."""
CALM_H = 24
"""Reverse flow is over after so long without."""
LEAST_MEASURED_H = 18
"""Of a day, or it says nothing."""
USED_SHARE = 0.6
"""Of the days compared so many must have use."""
LEAST_USUAL_D = 21
"""So many days with use must have been before: three weeks are the least that say what is usual."""
LEAST_ACTIVE, MOST_ACTIVE = 0.7, 1.15
"""Hours with flow in terms of before: a home that uses less water uses it in fewer hours, a meter that registers less
hides some of them and adds none; a drip that nobody knows of yet adds hours of small flow."""
MOST_UNEVEN = 2.5
"""A meter that counts too little takes as much of each size of flow; beyond this ratio habits have changed."""
RECOVERED = 0.85
LEAST_USED_H = 3
"""A day with fewer hours with flow has no sizes to compare, and may be one on which people were away."""
HALF_THERE = 0.5
"""On a day with fewer of the usual hours with flow people were away for a part of it."""
AWAY_PRIOR_D = 14
"""Of a home that was never away in the days known of it, as much is assumed as if it were known for so many more."""


def bursts_and_reverse(states: States, flow: Floats, settings: LeakSettings) -> list[Event]:
    """Two hours above anything the home ever used; any hour that ran back."""
    events: list[Event] = []
    before = states["recent"][:, -1].copy()
    known_long = states["days"] >= settings.first_days
    for hour in range(flow.shape[1]):
        now = flow[:, hour]
        number = states["day"] * DAY_H + hour
        with np.errstate(invalid="ignore"):
            lowest = np.minimum(before, now)
            exceeds = lowest > np.maximum(settings.burst_l_h, settings.burst_own * states["most"])
            bursts = known_long & exceeds
            back = known_long & (now < -REVERSE_L)
        new, over = bursts & (states["burst_h"] == NONE), (states["burst_h"] != NONE) & (now < settings.burst_l_h)
        for at in np.flatnonzero(new).tolist():
            rate = float(lowest[at])
            events.append(Event(at, Kind.BURST, Phase.CONFIRMED, int(number[at]), int(number[at]) - 1, rate,
                                (rate * 0.8, float(max(before[at], now[at]))), NONE, 1.0))  # fmt: skip
        events += _over(np.flatnonzero(over), Kind.BURST, number)
        states["burst_h"] = np.where(new, number, np.where(over, NONE, states["burst_h"]))
        new = back & (states["reverse_h"] == NONE)
        over = (states["reverse_h"] != NONE) & ~back & (number - states["reverse_h"] >= CALM_H)
        events += [Event(at, Kind.REVERSE, Phase.CONFIRMED, int(number[at]), int(number[at]), None, None, NONE, 1.0)
                   for at in np.flatnonzero(new).tolist()]  # fmt: skip
        events += _over(np.flatnonzero(over), Kind.REVERSE, number)
        states["reverse_h"] = np.where(back, number, np.where(over, NONE, states["reverse_h"]))
        usual = (states["burst_h"] == NONE) & ~bursts
        states["most"] = np.where(usual, np.fmax(states["most"], lowest), states["most"])
        before = now
    return events


def stuck(states: States, flow: Floats, settings: LeakSettings) -> list[Event]:
    """Registers that stand still for longer than people of this home are ever away; unknown hours neither count nor
    end it."""
    events: list[Event] = []
    limit_h, lived_in, _ = absence(states, settings)
    for hour in range(flow.shape[1]):
        number = states["day"] * DAY_H + hour
        still, moves = flow[:, hour] == 0, np.abs(flow[:, hour]) > 0
        ended = moves & (states["stuck_h"] != NONE)
        ran = np.where(moves, states["still"], 0)
        states["longest_still"] = np.maximum(states["longest_still"], ran)
        states["still"] = np.where(moves, 0, states["still"] + still)
        limit = np.maximum(limit_h, settings.stuck_own * states["longest_still"])
        new = lived_in & (states["stuck_h"] == NONE) & (states["still"] >= limit)
        began = number + 1 - states["still"]
        events += [Event(at, Kind.STUCK, Phase.SUSPECTED, int(number[at]), int(began[at]), None, None, NONE, 1.0)
                   for at in np.flatnonzero(new).tolist()]  # fmt: skip
        events += _over(np.flatnonzero(ended), Kind.STUCK, number)
        states["stuck_h"] = np.where(new, number, np.where(ended, NONE, states["stuck_h"]))
    return events


class Absence(NamedTuple):
    """How long each home may be without water before its meter is taken for stuck."""

    limit_h: Floats
    """The more often people were away in the past days, the longer: `stuck_days` where they never were in all days that
    are remembered, `stuck_away_days` more for each time (e) as often."""
    lived_in: NDArray[np.bool_]
    """Water was used on enough days to say anything."""
    times: NDArray[np.int64]
    """How often people were away: days running with next to no use are once."""


def absence(states: States, settings: LeakSettings) -> Absence:
    """By the days before the one on which anything flowed last: those after it are of the present stillness."""
    active = states["active"]
    flowed = active > 0
    before = np.cumsum(flowed[:, ::-1], axis=1)[:, ::-1] > flowed
    known = before & ~np.isnan(active)
    few = known & (active < LEAST_USED_H)
    days, used = known.sum(axis=1), (known & (active >= 1)).sum(axis=1)
    away = few[:, 0] + (few[:, 1:] & ~few[:, :-1]).sum(axis=1)
    often = (1 + away) * (PAST_DAYS + AWAY_PRIOR_D) / (days + AWAY_PRIOR_D)
    limit_h = DAY_H * (settings.stuck_days + settings.stuck_away_days * np.log(often))
    lived_in = (used >= settings.first_days) & (used >= settings.stuck_used * days)
    return Absence(limit_h.astype(np.float32), lived_in, away)


def under_registering(states: States, flow: Floats, settings: LeakSettings) -> list[Event]:
    """At the end of a day: small, middling and large flows have all shrunk about as much while hours with flow have
    not, and that for days, the fewer the less is left: medians of a fortnight come below the share now and then. Habits
    change some sizes of flow, a meter that counts too little all. `states`: already those of the day after."""
    _remember(states, flow)
    days = settings.under_days
    usual, now, usual_h, now_h, enough = compared(states, settings)
    with np.errstate(invalid="ignore"):
        busy, left = now_h / usual_h, now / usual
        as_busy = (busy > LEAST_ACTIVE) & (busy < MOST_ACTIVE)
        even = left.max(axis=1) < MOST_UNEVEN * left.min(axis=1)
        less = enough & as_busy & even & (left < settings.under_share).all(axis=1)
        back = (left > RECOVERED).any(axis=1)
        by = np.log(settings.under_share / left.max(axis=1))
    states["less"] = np.where(less, states["less"] + by, 0)
    raised = states["under_h"] != NONE
    number = states["day"] * DAY_H - 1
    fresh, over = (states["less"] >= settings.under_evidence) & ~raised, raised & back
    states["under_h"] = np.where(fresh, number, np.where(over, NONE, states["under_h"]))
    events = [Event(at, Kind.UNDER, Phase.SUSPECTED, int(number[at]), int(number[at]) + 1 - days * DAY_H, None, None,
                    NONE, float((usual[at] / now[at]).min())) for at in np.flatnonzero(fresh).tolist()]  # fmt: skip
    return events + _over(np.flatnonzero(over), Kind.UNDER, number)


class Compared(NamedTuple):
    """Of each meter, the last `under_days` days with use against those before; medians, NaN of none."""

    usual: Floats
    """(meter, size), in terms of the meter's size, as are those `now`."""
    now: Floats
    usual_h: Floats
    """Hours with flow a day."""
    now_h: Floats
    enough: NDArray[np.bool_]
    """Days to compare."""


def compared(states: States, settings: LeakSettings) -> Compared:
    days, active = settings.under_days, states["active"]
    usual_h = _median(np.where(active >= LEAST_USED_H, active, np.nan)[:, :-days])
    used = (active >= np.maximum(LEAST_USED_H, HALF_THERE * usual_h)[:, None]) & ~np.isnan(states["sizes"][:, 0])
    sizes, hours = np.where(used[:, None], states["sizes"], np.nan), np.where(used, active, np.nan)
    enough = (used[:, -days:].sum(axis=1) >= USED_SHARE * days) & (used[:, :-days].sum(axis=1) >= LEAST_USUAL_D)
    return Compared(
        _median(sizes[:, :, :-days]), _median(sizes[:, :, -days:]), _median(hours[:, :-days]),
        _median(hours[:, -days:]), enough,
    )  # fmt: skip


def _remember(states: States, flow: Floats) -> None:
    """The day's hours with flow and their sizes. Of a day while a leak is there only that water was used."""
    measured = (~np.isnan(flow)).sum(axis=1)
    flows = np.where(flow > 0, flow, np.nan)
    count = (~np.isnan(flows)).sum(axis=1)
    active = np.where(measured >= LEAST_MEASURED_H, count * DAY_H / np.maximum(measured, 1), np.nan)
    ordered = np.sort(flows, axis=1)
    at = np.ceil(np.multiply.outer(np.maximum(count, 1), SIZES)).astype(np.int64) - 1
    sizes = np.take_along_axis(ordered, at, axis=1)
    sizes[states["leak_h"] != NONE] = np.nan
    states["active"] = np.concatenate([states["active"][:, 1:], active[:, None]], axis=1)
    states["sizes"] = np.concatenate([states["sizes"][:, :, 1:], sizes[:, :, None]], axis=2)


def _median(values: Floats) -> Floats:
    """Of the last axis' known values, the lower of two; NaN of none."""
    ordered = np.sort(values, axis=-1)
    middle = np.maximum((~np.isnan(ordered)).sum(axis=-1) - 1, 0) // 2
    medians: Floats = np.take_along_axis(ordered, middle[..., None], axis=-1)[..., 0]
    return medians


def _over(positions: np.ndarray, kind: Kind, number: np.ndarray) -> list[Event]:
    return [Event(at, kind, Phase.CLEARED, int(number[at]), int(number[at]), None, None, NONE, 0.0)
            for at in positions.tolist()]  # fmt: skip
