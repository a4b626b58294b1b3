"""What is known of each meter between two days: habits by hour, evidence so far, what is raised. Pure.

A meter's state is one record of fixed size, so that many are one array, and a row of bytes in the database.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from metering.consumption import Ints
from metering.leak_settings import LeakSettings

Floats = NDArray[np.float32]
States = NDArray[np.void]
"""Records of `STATE`."""

DAY_H = 24
HOUSEHOLD_Q3_L_H = 2_500
"""Of the DN15 meter whose litres the levels are."""


class Level(NamedTuple):
    """A question to each hour: did at least so much flow in the last `hours` hours?"""

    litres: float
    hours: int


class Test(NamedTuple):
    """A sequential test of one leak against habits: log likelihood ratio, summed, never below zero."""

    level: int
    """Position in `LEVELS`."""
    met: float
    """Chance that an hour of a leak meets the level: nearly 1 for one that never rests."""
    quiet: float
    """Only hours count that meet the level by habit no more often than this."""
    needed: float
    """Evidence (nats) that a leak usually needs; `detector` has homes need more or less of it."""
    least_times: float
    """How long it must have lasted, in terms of `least_hours`."""


LEVELS = (
    Level(1, 1), Level(2, 1), Level(4, 1), Level(8, 1), Level(16, 1), Level(40, 1), Level(1, 2), Level(1, 3),
    Level(1, 4),
)  # fmt: skip
TESTS = (
    Test(0, 0.995, 1, 64, 1), Test(1, 0.995, 1, 40, 1), Test(2, 0.995, 1, 46, 1), Test(3, 0.995, 1, 42, 1),
    Test(4, 0.995, 1, 20, 1), Test(5, 0.995, 1, 24, 1),
    Test(6, 0.995, 1, 50, 1), Test(7, 0.995, 1, 60, 1), Test(8, 0.995, 1, 60, 1),
    Test(3, 0.6, 0.3, 48, 2), Test(4, 0.55, 0.3, 28, 2),
)  # fmt: skip
"""Leaks that never rest, by size; drips of less than a litre an hour; such as come and go (cyclic)."""

CYCLIC = 9
"""From this test on."""
LEAST_CHANCE = 0.05
"""No hour is so quiet by habit that one flow in it says more than this chance would."""
OTHER_CLASS = 0.5
"""An hour of the other class of days (working days, weekends) says so much of this one."""
ASSUMED_HOURS = 2.0
ASSUMED_NIGHT, ASSUMED_DAY, NIGHT_H = 0.15, 0.5, 6
"""Before anything is known: so many hours seen, met by these shares before and after this hour."""

RECENT_H = 48
PAST_DAYS = 56
SIZES = (0.5, 0.75, 1.0)
"""Quantiles of a day's hours with flow."""

STATE = np.dtype([
    ("day", "i4"), ("days", "i4"), ("q3_l_h", "i4"),
    ("seen", "f4", (2, DAY_H)), ("met", "f4", (2, DAY_H, len(LEVELS))),
    ("evidence", "f4", len(TESTS)), ("began", "i4", len(TESTS)), ("highest", "f4", len(TESTS)),
    ("recent", "f4", RECENT_H), ("most", "f4"), ("still", "i4"), ("longest_still", "i4"),
    ("sizes", "f4", (len(SIZES), PAST_DAYS)), ("active", "f4", PAST_DAYS),
    ("leak_h", "i4"), ("leak_test", "i4"), ("confirmed", "i4"),
    ("burst_h", "i4"), ("reverse_h", "i4"), ("stuck_h", "i4"), ("under_h", "i4"), ("less", "f4"),
])  # fmt: skip
"""Volumes are in terms of the meter's size (`sizes`): litres of a household's. `day` is the next to look at; `q3_l_h`
the size under which all was learned; hours are counted from local midnight of day 0; `…_h` is when a fault was raised,
or NONE. `recent` are the flows of the last hours (litres, NaN unknown), `still` the hours since anything flowed, `most`
the largest flow that two hours running had; of each of the past days, the newest last, `active` are the hours with flow
and `sizes` the quantiles `SIZES` of what these hours had, NaN where nothing is known of it; `less` is the
evidence of under-registering."""

VERSION = 4
"""Of `STATE` and of what its fields mean: whoever changes either counts on, and meters are learned anew."""

NONE = -1


def is_weekend(day: int) -> bool:
    """Of a day counted from 1970-01-01, which was a Thursday."""
    return (day + 3) % 7 >= 5


def unknown_meters(count: int, day: int, q3_l_h: Ints | int = HOUSEHOLD_Q3_L_H) -> States:
    """States of meters of which nothing is known before `day`."""
    states = np.zeros(count, STATE)
    states["day"], states["q3_l_h"] = day, q3_l_h
    states["seen"] = ASSUMED_HOURS
    assumed = np.where(np.arange(DAY_H) < NIGHT_H, ASSUMED_NIGHT, ASSUMED_DAY) * ASSUMED_HOURS
    states["met"] = assumed[None, None, :, None]
    states["began"] = day * DAY_H
    for name in ("recent", "sizes", "active"):
        states[name] = np.nan
    for name in ("leak_h", "burst_h", "reverse_h", "stuck_h", "under_h"):
        states[name] = NONE
    return states


def sizes(states: States) -> Floats:
    """Each meter's Q3 in terms of a household's: all levels are in proportion to it."""
    found: Floats = (states["q3_l_h"] / HOUSEHOLD_Q3_L_H).astype(np.float32)
    return found


def usual_shares(states: States, weekend: bool, hours: int = DAY_H) -> Floats:
    """How often the first hours of this kind of day meet each level by habit: (meter, hour, level)."""
    this, other = int(weekend), int(not weekend)
    seen = states["seen"][:, this, :hours] + OTHER_CLASS * states["seen"][:, other, :hours]
    met = states["met"][:, this, :hours] + OTHER_CLASS * states["met"][:, other, :hours]
    shares: Floats = (met / seen[:, :, None]).astype(np.float32)
    return shares


def weights(states: States, weekend: bool, hours: int = DAY_H) -> tuple[Floats, Floats]:
    """What each of the day's first hours says of a leak when it meets a test's level, and when it does not: (meter,
    hour, test)."""
    usual = usual_shares(states, weekend, hours)
    chance = np.clip(usual, LEAST_CHANCE, 1 - LEAST_CHANCE)[:, :, [test.level for test in TESTS]]
    leak = np.array([test.met for test in TESTS], np.float32)
    over_h = np.array([LEVELS[test.level].hours for test in TESTS], np.float32)
    counts = chance <= np.array([test.quiet for test in TESTS], np.float32)
    up = np.where(counts, np.log(leak / chance) / over_h, 0).astype(np.float32)
    down = np.where(counts, np.log((1 - leak) / (1 - chance)), 0).astype(np.float32)
    return up, down


def answers(recent: Floats, flow: Floats) -> NDArray[np.int8]:
    """For each meter, hour of the day and level: 1 met, 0 not met, -1 unknown. `flow`: litres, NaN unknown."""
    before = max(level.hours for level in LEVELS)
    padded = np.concatenate([recent[:, -before:], flow], axis=1)
    known = ~np.isnan(padded)
    sums = np.cumsum(np.pad(np.where(known, np.maximum(padded, 0), 0), ((0, 0), (1, 0))), axis=1, dtype=np.float64)
    counts = np.cumsum(np.pad(known, ((0, 0), (1, 0))), axis=1)
    found = np.empty((*flow.shape, len(LEVELS)), np.int8)
    width = flow.shape[1]
    for at, level in enumerate(LEVELS):
        low = before + 1 - level.hours
        total = sums[:, before + 1 : before + 1 + width] - sums[:, low : low + width]
        complete = counts[:, before + 1 : before + 1 + width] - counts[:, low : low + width] == level.hours
        found[:, :, at] = np.where(total >= level.litres - 1e-3, 1, np.where(complete, 0, -1))
    found[np.isnan(flow)] = -1
    return found


def learn(
    states: States, found: NDArray[np.int8], weekend: bool, chosen: NDArray[np.bool_], settings: LeakSettings
) -> None:
    """Takes the day's answers of the chosen meters into their habits."""
    kind = int(weekend)
    decay = np.float32(0.5 ** (1 / settings.half_life_days))
    keep = chosen[:, None]
    seen, met = states["seen"][:, kind], states["met"][:, kind]
    states["seen"][:, kind] = np.where(keep, seen * decay + (found[:, :, 0] >= 0), seen)
    states["met"][:, kind] = np.where(keep[:, :, None], met * decay + (found == 1), met)
