"""Day by day over the hours of many meters: what is kept for the next time, and what is known now. Pure.

A day is kept when a reading at or after its end is there: nothing that comes in order changes it any more. The day
after is looked at up to the newest whole hour without keeping what that leads to.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from ingest.leaks.detector import look, shares
from ingest.leaks.events import Event
from ingest.leaks.habits import CYCLIC, DAY_H, NONE, RECENT_H, Floats, States, is_weekend, sizes
from metering.consumption import Bools, Ints
from metering.leak_settings import LeakSettings


class Followed(NamedTuple):
    """One entry per meter."""

    kept: States
    """Of the midnight before each meter's newest reading."""
    now: States
    """As of `until_h`; not to be kept."""
    until_h: Ints
    """The first local hour that was not looked at, counted as in `STATE`."""
    past: Floats
    """Litres in each local hour from `past_h` on, NaN unknown."""
    past_h: int
    sure_h: dict[tuple[int, int], int]
    """By meter and the hour in which its leak was raised: the hour by whose end its evidence was last seen to suffice,
    at the ends of days and now."""
    events: list[Event]
    """`meter` is a position here; of a meter and kind in order of time."""

    def hours(self, at: int, until_h: int) -> Floats:
        """Of one meter, the RECENT_H hours before one that is not before the first that was looked at."""
        end = until_h - self.past_h
        return self.past[at, end - RECENT_H : end]


def follow(
    states: States, flow: Floats, first_day: int, newest_day: Ints, until_h: Ints, settings: LeakSettings
) -> Followed:
    """`flow`: litres in local hours, (meter, hour), from `first_day` on, which is no later than any state's day.
    `newest_day` is the day of each meter's newest reading; `until_h` says up to where that day's hours are whole."""
    kept, events = states.copy(), []
    sure_h: dict[tuple[int, int], int] = {}
    last_day = int(newest_day.max(initial=first_day))
    for day in range(int(states["day"].min(initial=last_day)), last_day):
        at = np.flatnonzero((kept["day"] == day) & (newest_day > day))
        if len(at):
            begin = (day - first_day) * DAY_H
            outcome = look(kept[at], flow[at, begin : begin + DAY_H], is_weekend(day), settings)
            kept[at] = outcome.states
            events += _placed(outcome.events, at)
            _note_sure(sure_h, at, outcome.states, np.full(len(at), day * DAY_H + DAY_H - 1), settings)
    now = kept.copy()
    for at, day, width in _alike(kept["day"].astype(np.int64), until_h):
        begin = (day - first_day) * DAY_H
        outcome = look(kept[at], flow[at, begin : begin + width], is_weekend(day), settings)
        now[at] = outcome.states
        events += _placed(outcome.events, at)
        _note_sure(sure_h, at, outcome.states, until_h[at] - 1, settings)
    past = _with_recent(states, flow, first_day)
    return Followed(kept, now, until_h, past, first_day * DAY_H - RECENT_H, sure_h, events)


def _with_recent(states: States, flow: Floats, first_day: int) -> Floats:
    """Hours from RECENT_H before `first_day` on, what the states remember included."""
    padded = np.concatenate([np.full((len(flow), RECENT_H), np.nan, np.float32), flow], axis=1)
    begin = (states["day"].astype(np.int64) - first_day) * DAY_H
    recent = states["recent"] * sizes(states)[:, None]
    padded[np.arange(len(flow))[:, None], begin[:, None] + np.arange(RECENT_H)] = recent
    return padded


def _placed(events: list[Event], at: Ints) -> list[Event]:
    return [event._replace(meter=int(at[event.meter])) for event in events]


def _alike(day: Ints, until_h: Ints) -> Iterator[tuple[Ints, int, int]]:
    """Positions, day and number of hours of meters of which some hours of their next day are there."""
    width = until_h - day * DAY_H
    key = day * (DAY_H + 1) + width
    for one in np.unique(key[width > 0]).tolist():
        at = np.flatnonzero((key == one) & (width > 0))
        yield at, *divmod(one, DAY_H + 1)


def raised_share(states: States, settings: LeakSettings) -> tuple[Ints, Floats]:
    """Of the tests of the kind that raised each leak, steady or cyclic: the surest, and its evidence in terms of what
    it needs. Means nothing where no leak is raised."""
    found = shares(states, settings)
    cyclic = states["leak_test"] >= CYCLIC
    is_cyclic: Bools = np.arange(found.shape[1]) >= CYCLIC
    of_kind = np.where(is_cyclic[None, :] == cyclic[:, None], found, -1)
    test = np.argmax(of_kind, axis=1)
    return test, of_kind[np.arange(len(found)), test]


def _note_sure(
    sure_h: dict[tuple[int, int], int], at: Ints, states: States, last_h: Ints, settings: LeakSettings
) -> None:
    raised = np.flatnonzero(states["leak_h"] != NONE)
    if not len(raised):
        return
    sure = raised[raised_share(states[raised], settings)[1] > 1]
    faults = zip(at[sure].tolist(), states["leak_h"][sure].tolist(), strict=True)
    sure_h.update(zip(faults, last_h[sure].tolist(), strict=True))
