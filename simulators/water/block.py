"""The water of a block of users, hour by hour: a pure function of seed, block and week.

Nothing is remembered between calls or runs, so a town that is started again goes on exactly where it was. First come
the totals of all weeks since EPOCH (who is away, who has guests, season, chance); the index at the start of a week is
their sum. Then each week has events of the end uses: their numbers follow Poisson laws, whose rate is what is usual at
that hour, nothing while all are out, and otherwise uneven; their volumes follow gamma laws. The week's volumes are
scaled to its total. Between hours the register runs evenly.
"""

from __future__ import annotations

from functools import cached_property, lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from simulators.local_time import HOUR_S
from simulators.water.calendar import DAYS, EPOCH_S, WEEK_S, WEEKS, WORKDAY, Floats, Ints, day_kinds, travel, warmth
from simulators.water.users import BLOCK, END_USES, TRADES, Dwelling, UserKind, Users, draw_users, hours_of

ML_PER_L = 1_000
WEEK_H = 168
WEEK_SPREAD = 0.16
LEVEL_SPREAD, LEVEL_WEEKS = 0.2, 13
"""Homes change: somebody moves in or out, works elsewhere, buys an appliance; for about a quarter of a year each."""
DAY_SPREAD = 0.22
HOME_DAYS = (1.0, 1.08, 1.05)
"""What homes use on working days, weekends and holidays."""
HOME_SUMMER = 0.08
TRIPS_A_DAY = 0.006
"""That people leave for some days, on a day of middling inclination."""
TRIP_DAYS = 3.0
VISITS_A_DAY = 0.004
VISIT_DAYS = 4.0
VISITED = 1.6
"""Water of a home with guests."""
OUT_FROM_H, OUT_UNTIL_H = (8.2, 0.8), (17.6, 1.6)
"""When all have left and when the first is back: mean and standard deviation."""
WEEKEND_OUT = 0.45
"""Of the chance of a working day that nobody is at home all day."""
DRIBBLE_H, DRIBBLE_SPREAD, LONGEST_DRIBBLE_H = 9.0, 0.9, 60.0
DRIBBLE_L_H, DRIBBLE_L_H_SPREAD = 6.0, 0.8
"""A cistern that runs on: medians and standard deviations of logarithms."""
LEAK_H = 24
"""One that runs for so long is a leak, as rules of continuous flow have it; a shorter one nobody would be sent for."""
LEAK_L_H = 0.5
"""Least rate of it, as of a dripping tap."""
ERRANDS = 0.35
"""That all are out for an hour or more besides."""
MAX_BLOCKS, MAX_WEEKS = 512, 1024
"""Kept in memory: 0.8 MB and 0.35 MB each."""

Bits = NDArray[np.uint8]


class RunningOn(NamedTuple):
    """A cistern of a user that runs on for LEAK_H at least, then is stopped."""

    user: int
    """Of all users."""
    from_s: int
    until_s: int
    rate_l_h: float


class Week(NamedTuple):
    """Of a block."""

    ml: Ints
    """By user: millilitres since the week's begin at each of its hours' ends, beginning with 0: 169 columns."""
    running_on: list[RunningOn]


class Block:
    """Users `BLOCK * number` and on."""

    def __init__(self, seed: int, number: int) -> None:
        self.seed, self.number = seed, number
        draw = np.random.default_rng((seed, number, 1_000_003))
        self.users = draw_users(draw)
        away, guests = _absences(draw, self.users)
        self._away, self._guests = np.packbits(away, axis=1), np.packbits(guests, axis=1)
        days = (self._there(0, DAYS) * _trade(self.users)).reshape(BLOCK, WEEKS, 7).sum(2)
        usual = self.users.litres_a_day[:, None] * days
        usual *= draw.lognormal(0, WEEK_SPREAD, usual.shape) * _levels(draw)
        self._totals_l = usual.astype(np.int32)

    @cached_property
    def before_l(self) -> Ints:
        """By user and week: on the register when it begins."""
        start = self.users.start_l[:, None]
        return np.concatenate([start, start + np.cumsum(self._totals_l, axis=1, dtype=np.int64)], axis=1)

    def _there(self, day: int, days: int) -> Floats:
        """By user and day: 0 while all are away, 1 usually, VISITED with guests."""
        away = np.unpackbits(self._away, axis=1, count=DAYS)[:, day : day + days]
        guests = np.unpackbits(self._guests, axis=1, count=DAYS)[:, day : day + days]
        there: Floats = np.where(away, 0.0, np.where(guests, VISITED, 1.0))
        return there

    def week(self, week: int) -> Week:
        draw = np.random.default_rng((self.seed, self.number, week, 1_000_003))
        litres = _events(draw, self.users, self._intensity(draw, week), day_kinds()[week * 7 : week * 7 + 7] != WORKDAY)
        dribbles = _dribbles(draw, self.users)
        litres += dribbles.litres()
        litres = np.where(litres.sum(1, keepdims=True) > 0, litres, 1.0)
        upto = np.cumsum(litres, axis=1)
        totals_ml = self._totals_l[:, week].astype(np.int64)[:, None] * ML_PER_L
        ends = np.floor(upto / upto[:, -1:] * totals_ml).astype(np.int64)
        running_on = dribbles.leaks(self.number, week, self._totals_l[:, week] / upto[:, -1])
        return Week(np.concatenate([np.zeros((BLOCK, 1), np.int64), ends], axis=1), running_on)

    def _intensity(self, draw: np.random.Generator, week: int) -> Floats:
        """By user, day and hour: how much of what is usual at that hour happens."""
        shape = (BLOCK, 7, 24)
        there = self._there(week * 7, 7) * draw.lognormal(0, DAY_SPREAD, (BLOCK, 7))
        day_off = day_kinds()[week * 7 : week * 7 + 7] != WORKDAY
        uneven = self.users.burstiness[:, None, None]
        at_home = _at_home(draw, self.users, day_off)
        intensity: Floats = there[:, :, None] * at_home * draw.gamma(uneven, 1 / uneven, shape)
        return intensity


def _trade(users: Users) -> Floats:
    """By user and day: how the day's kind and the season change what is used."""
    factors = np.empty((len(TRADES) + 1, DAYS))
    factors[UserKind.HOME] = np.array(HOME_DAYS)[day_kinds()] * (1 + HOME_SUMMER * warmth())
    for which, trade in TRADES.items():
        factors[which] = np.array(trade.days)[day_kinds()] * (1 + trade.summer * warmth())
    return factors[users.kind]


def _levels(draw: np.random.Generator) -> Floats:
    """By user and week."""
    level = draw.lognormal(0, LEVEL_SPREAD, (BLOCK, WEEKS // LEVEL_WEEKS + 2))
    begins = draw.integers(0, LEVEL_WEEKS, (BLOCK, 1))
    levels: Floats = np.take_along_axis(level, (np.arange(WEEKS) + begins) // LEVEL_WEEKS, axis=1)
    return levels


def _absences(draw: np.random.Generator, users: Users) -> tuple[Bits, Bits]:
    """By user and day, 0 or 1: all are away, there are guests."""
    home = (users.kind == UserKind.HOME)[:, None]
    leaning = draw.gamma(1.5, 1 / 1.5, (BLOCK, 1))
    away = _spells(draw, TRIPS_A_DAY * leaning * travel() * home, TRIP_DAYS)
    guests = _spells(draw, VISITS_A_DAY * travel() * home, VISIT_DAYS)
    season = (warmth() > 0.75) | (day_kinds() == 2)
    away |= (users.dwelling[:, None] == Dwelling.HOLIDAY_HOME) & ~season
    away |= users.dwelling[:, None] == Dwelling.EMPTY
    return away.astype(np.uint8), guests.astype(np.uint8)


def _spells(draw: np.random.Generator, chance: Floats, mean_days: float) -> NDArray[np.bool_]:
    """Days of spells that begin by `chance` and last geometrically long."""
    user, day = np.nonzero(draw.random((BLOCK, DAYS)) < chance)
    ends = np.minimum(day + draw.geometric(1 / mean_days, len(day)), DAYS)
    steps = np.zeros((BLOCK, DAYS + 1), np.int32)
    np.add.at(steps, (user, day), 1)
    np.add.at(steps, (user, ends), -1)
    return np.cumsum(steps, axis=1)[:, :DAYS] > 0


def _at_home(draw: np.random.Generator, users: Users, day_off: NDArray[np.bool_]) -> Floats:
    """By user, day and hour: the share of the hour in which somebody is at home. Commerce always is."""
    shape = (BLOCK, 7)
    shift = users.shift_h[:, None]
    leaves = draw.normal(*OUT_FROM_H, shape) + shift + day_off
    out = draw.random(shape) < users.out_share[:, None] * np.where(day_off, WEEKEND_OUT, 1.0)
    returns = np.where(out, draw.normal(*OUT_UNTIL_H, shape) + shift, leaves)
    goes = draw.uniform(9, 20, shape)
    errand = (draw.random(shape) < ERRANDS) & (users.kind == UserKind.HOME)[:, None]
    comes = goes + errand * (0.5 + draw.gamma(2, 1.0, shape))
    return (1 - _overlap(leaves, returns)) * (1 - _overlap(goes, comes))


def _overlap(from_h: Floats, until_h: Floats) -> Floats:
    """By user, day and hour: the share of the hour between the two."""
    hour = np.arange(24.0)
    common = np.minimum(hour + 1, until_h[:, :, None]) - np.maximum(hour, from_h[:, :, None])
    share: Floats = np.clip(common, 0, 1)
    return share


def _events(draw: np.random.Generator, users: Users, intensity: Floats, day_off: NDArray[np.bool_]) -> Floats:
    """Litres by user and hour of the week."""
    off, on = hours_of(users, True)[:, :, None], hours_of(users, False)[:, :, None]
    hours = np.where(day_off[None, None, :, None], off, on)
    litres = np.zeros((BLOCK, WEEK_H))
    for place, use in enumerate(END_USES):
        rate = users.events[:, place, None, None] * hours[place] * intensity
        events = draw.poisson(rate).reshape(BLOCK, WEEK_H)
        some = np.nonzero(events)
        shape = 1 / use.spread**2
        litres[some] += draw.standard_gamma(events[some] * shape) * (use.litres / shape)
    return litres


class _Dribbles(NamedTuple):
    """Cisterns that run on for hours, then stop by themselves; hours of the week, the last of which ends them all."""

    user: Ints
    from_h: Floats
    until_h: Floats
    rate_l_h: Floats

    def litres(self) -> Floats:
        """By user and hour of the week."""
        hour = np.arange(WEEK_H)
        share = np.clip(np.minimum(hour + 1, self.until_h[:, None]) - np.maximum(hour, self.from_h[:, None]), 0, 1)
        litres = np.zeros((BLOCK, WEEK_H))
        np.add.at(litres, self.user, share * self.rate_l_h[:, None])
        return litres

    def leaks(self, number: int, week: int, scale: Floats) -> list[RunningOn]:
        """`scale`: by user, how much more flows that week than was drawn."""
        begin_s, rate_l_h = EPOCH_S + week * WEEK_S, self.rate_l_h * scale[self.user]
        return [
            RunningOn(number * BLOCK + int(self.user[at]), begin_s + round(self.from_h[at] * HOUR_S),
                      begin_s + round(self.until_h[at] * HOUR_S), float(rate_l_h[at]))
            for at in np.flatnonzero((self.until_h - self.from_h >= LEAK_H) & (rate_l_h >= LEAK_L_H)).tolist()
        ]  # fmt: skip


def _dribbles(draw: np.random.Generator, users: Users) -> _Dribbles:
    user = np.repeat(np.arange(BLOCK), draw.poisson(users.dribbles))
    begins = draw.uniform(0, WEEK_H, len(user))
    lasts = np.minimum(DRIBBLE_H * draw.lognormal(0, DRIBBLE_SPREAD, len(user)), LONGEST_DRIBBLE_H)
    rate = DRIBBLE_L_H * draw.lognormal(0, DRIBBLE_L_H_SPREAD, len(user))
    return _Dribbles(user, begins, np.minimum(begins + lasts, WEEK_H), rate)


def hourly_ml(seed: int, number: int, from_s: int, hours: int) -> Ints:
    """By user of the block: the water since EPOCH, what stood on the register then included, at `hours` + 1 instants an
    hour apart from `from_s` on, which is a full hour not before EPOCH_S."""
    first, skipped = divmod((from_s - EPOCH_S) // HOUR_S, WEEK_H)
    last = first + max(0, skipped + hours - 1) // WEEK_H
    before = block(seed, number).before_l
    weeks = [before[:, week, None] * ML_PER_L + week_ml(seed, number, week) for week in range(first, last + 1)]
    joined = [ml[:, :WEEK_H] for ml in weeks[:-1]] + weeks[-1:]
    return np.concatenate(joined, axis=1)[:, skipped : skipped + hours + 1]


@lru_cache(MAX_BLOCKS)
def block(seed: int, number: int) -> Block:
    return Block(seed, number)


@lru_cache(MAX_WEEKS)
def _week(seed: int, number: int, week: int) -> Week:
    """Remembered: meters of one block ask for the same week."""
    return block(seed, number).week(week)


def week_ml(seed: int, number: int, week: int) -> Ints:
    """`Week.ml`."""
    return _week(seed, number, week).ml


def running_on(seed: int, number: int, from_s: int, until_s: int) -> list[RunningOn]:
    """Cisterns of the block that do within the span, which begins not before EPOCH_S; cheap where the water of these
    weeks was asked for just before."""
    weeks = range((from_s - EPOCH_S) // WEEK_S, -((EPOCH_S - until_s) // WEEK_S))
    of_weeks = [one for week in weeks for one in _week(seed, number, week).running_on]
    return [one for one in of_weeks if one.from_s < until_s and one.until_s > from_s]
