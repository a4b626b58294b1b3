"""Faults that are no slow leak: bursts, reverse flow, stuck and under-registering meters. Pure; see `detector`."""

from __future__ import annotations

import warnings

import numpy as np

from metering.leak_settings import LeakSettings

from .events import Event, Kind, Phase
from .habits import DAY_H, NONE, PAST_DAYS, Floats, States

CYCLIC_FLOWS_L = 8.0
"""An hour with less is a rest of a cyclic leak."""
SINGLE_HOURS = 5
"""Levels after this one ask several hours together."""
REVERSE_L = 1.0
"""More than one count of a household register must have run back."""
CALM_H = 24
"""Reverse flow is over after so long without."""
PEAK_HOURS = 3
LEAST_MEASURED_H = 18
"""Of a day, or its peaks say nothing."""
USED_SHARE = 0.6
"""Of the days compared so many must have use."""
ACTIVE_SHARE = 0.8
"""Hours with flow must be this share of what they were: a home that uses less water uses it in fewer hours, a meter
that registers less hides few of them."""
RECOVERED = 0.85


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
    """Registers that stand still for longer than ever; unknown hours neither count nor end it."""
    events: list[Event] = []
    for hour in range(flow.shape[1]):
        number = states["day"] * DAY_H + hour
        still, moves = flow[:, hour] == 0, np.abs(flow[:, hour]) > 0
        ended = moves & (states["stuck_h"] != NONE)
        ran = np.where(moves, states["still"], 0)
        states["longest_still"] = np.maximum(states["longest_still"], ran)
        states["still"] = np.where(moves, 0, states["still"] + still)
        limit = np.maximum(settings.stuck_days * DAY_H, settings.stuck_own * states["longest_still"])
        new = (states["days"] >= settings.first_days) & (states["stuck_h"] == NONE) & (states["still"] >= limit)
        began = number + 1 - states["still"]
        events += [Event(at, Kind.STUCK, Phase.SUSPECTED, int(number[at]), int(began[at]), None, None, NONE, 1.0)
                   for at in np.flatnonzero(new).tolist()]  # fmt: skip
        events += _over(np.flatnonzero(ended), Kind.STUCK, number)
        states["stuck_h"] = np.where(new, number, np.where(ended, NONE, states["stuck_h"]))
    return events


def under_registering(states: States, flow: Floats, settings: LeakSettings) -> list[Event]:
    """At the end of a day: the peaks have shrunk while hours with flow have not. `states`: already those of the day
    after."""
    measured = (~np.isnan(flow)).sum(axis=1)
    sorted_flow = np.sort(np.where(np.isnan(flow), 0, flow), axis=1)
    hours = (sorted_flow > 0).sum(axis=1) * DAY_H / np.maximum(measured, 1)
    whole = measured >= LEAST_MEASURED_H
    used = whole & (hours >= 1)
    states["peaks"] = _pushed(states["peaks"], np.where(used, sorted_flow[:, -PEAK_HOURS:].mean(axis=1), np.nan))
    states["active"] = _pushed(states["active"], np.where(used, hours, np.nan))
    days = settings.under_days
    old, new = states["peaks"][:, : PAST_DAYS - days], states["peaks"][:, PAST_DAYS - days :]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # medians of nothing are NaN, as they should be
        usual, now = np.nanmedian(old, axis=1), np.nanmedian(new, axis=1)
        windows = range(old.shape[1] - days, -1, -max(1, days // 2))
        lowest = np.nanmin([np.nanmedian(old[:, low : low + days], axis=1) for low in windows], axis=0)
        as_busy = np.nanmedian(states["active"][:, PAST_DAYS - days :], axis=1) > ACTIVE_SHARE * np.nanmedian(
            states["active"][:, : PAST_DAYS - days], axis=1
        )
    enough = ((~np.isnan(new)).sum(axis=1) >= USED_SHARE * days) & ((~np.isnan(old)).sum(axis=1) >= days)
    less = enough & as_busy & (now < settings.under_share * usual) & (now < settings.under_own * lowest)
    raised = states["under_h"] != NONE
    number = states["day"] * DAY_H - 1
    fresh, over = less & ~raised, raised & (now > RECOVERED * usual)
    states["under_h"] = np.where(fresh, number, np.where(over, NONE, states["under_h"]))
    events = [Event(at, Kind.UNDER, Phase.SUSPECTED, int(number[at]), int(number[at]) + 1 - days * DAY_H, None, None,
                    NONE, float(usual[at] / max(now[at], 0.1))) for at in np.flatnonzero(fresh).tolist()]  # fmt: skip
    return events + _over(np.flatnonzero(over), Kind.UNDER, number)


def _pushed(past: Floats, newest: Floats) -> Floats:
    pushed: Floats = np.concatenate([past[:, 1:], newest[:, None]], axis=1)
    return pushed


def _over(positions: np.ndarray, kind: Kind, number: np.ndarray) -> list[Event]:
    return [Event(at, kind, Phase.CLEARED, int(number[at]), int(number[at]), None, None, NONE, 0.0)
            for at in positions.tolist()]  # fmt: skip
