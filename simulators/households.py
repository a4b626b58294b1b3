"""Water use of a household or a shop, and leaks: litres by the hour as a pure function of seed, meter and instant.

Nothing is remembered between calls or runs, so a town that is started again continues exactly where it was. A week's
total and its spread over hours are drawn from generators seeded with (seed, meter, week); the cumulative index at the
start of a week is the sum of the totals of all weeks since `EPOCH_S`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property, lru_cache
from itertools import accumulate

import numpy as np

from simulators.local_time import DAY_S, HOUR_S

WEEK_S = 7 * DAY_S
EPOCH_S = 1_704_038_400
"""Monday 2024-01-01 00:00 in China, the first instant of week 0."""
WEEKS = 2_600
"""Fifty years of weekly totals are drawn at once, so that every index is a sum over the same draws."""
LITRES_PER_PERSON_DAY = 105.0
VACANT_WEEK_SHARE = 0.03
VACANT_DAY_SHARE = 0.02
NIGHT_USE_SHARE = 0.08
LEAK_PERIOD_S = 28 * DAY_S

WORKDAY = (0, 0, 0, 0, 0, 2, 8, 11, 7, 3, 2, 4, 6, 3, 2, 2, 3, 6, 11, 12, 9, 7, 5, 2)
WEEKEND = (1, 0, 0, 0, 0, 0, 3, 6, 10, 10, 8, 7, 8, 5, 4, 4, 5, 7, 10, 11, 9, 7, 5, 3)
SHOP = (0, 0, 0, 0, 0, 0, 1, 3, 8, 10, 10, 9, 8, 9, 10, 10, 9, 8, 6, 4, 2, 1, 0, 0)
NIGHT_HOURS = (0, 1, 23)
HOUSEHOLD_SIZES = (0.14, 0.28, 0.3, 0.16, 0.09, 0.03)
"""Share of households of one, two … six people."""


class LeakKind(StrEnum):
    DRIP = "drip"
    TOILET = "toilet"
    PIPE = "pipe"
    BURST = "burst"


RATES_L_H = {LeakKind.DRIP: (2, 5), LeakKind.TOILET: (8, 40), LeakKind.PIPE: (50, 250), LeakKind.BURST: (700, 1500)}
DAYS_LONG = {LeakKind.DRIP: (20, 27), LeakKind.TOILET: (12, 24), LeakKind.PIPE: (8, 20), LeakKind.BURST: (1, 2)}


@dataclass(frozen=True, slots=True)
class Leak:
    """Runs for `lasts_s` in every period of 28 days, from `phase_s` after the period's beginning: someone repairs it,
    later it comes back. `rate_l_h` flows all the time it runs."""

    kind: LeakKind
    rate_l_h: int
    phase_s: int
    lasts_s: int

    def active(self, ts_s: int) -> bool:
        return self.lasts_s > (ts_s - EPOCH_S - self.phase_s) % LEAK_PERIOD_S

    def litres_until(self, ts_s: int) -> int:
        """Everything that leaked since EPOCH_S."""
        periods, rest_s = divmod(ts_s - EPOCH_S - self.phase_s, LEAK_PERIOD_S)
        return (periods * self.lasts_s + min(rest_s, self.lasts_s)) * self.rate_l_h // HOUR_S


@dataclass(frozen=True)
class Household:
    """One water user behind one meter. `number` tells it from the others of the same seed."""

    seed: int
    number: int
    people: int
    shop: bool
    start_l: int
    leak: Leak | None

    @cached_property
    def _week_totals_l(self) -> list[int]:
        draw = np.random.default_rng((self.seed, self.number))
        mean = self.people * LITRES_PER_PERSON_DAY * 7
        totals = mean * draw.lognormal(-0.02, 0.2, WEEKS)
        totals[draw.random(WEEKS) < VACANT_WEEK_SHARE] = 0
        return [int(total) for total in totals]

    @cached_property
    def _before_week_l(self) -> list[int]:
        return list(accumulate(self._week_totals_l, initial=0))

    def index_l(self, ts_s: int) -> int:
        """Whole litres on the register at an instant from EPOCH_S on; never falls."""
        week, second = divmod(ts_s - EPOCH_S, WEEK_S)
        hour, rest_s = divmod(second, HOUR_S)
        before, hours = self._week(week)
        used = self.start_l + self._before_week_l[week] + before[hour] + hours[hour] * rest_s // HOUR_S
        return used + (self.leak.litres_until(ts_s) if self.leak else 0)

    def _week(self, week: int) -> tuple[list[int], list[int]]:
        return _spread(self.seed, self.number, week, self._week_totals_l[week], self.shop)


@lru_cache(maxsize=4096)
def _spread(seed: int, number: int, week: int, total_l: int, shop: bool) -> tuple[list[int], list[int]]:
    """Litres used before each hour of the week, and in it; the hours sum up to `total_l`."""
    draw = np.random.default_rng((seed, number, week))
    days = [SHOP] * 7 if shop else [WORKDAY] * 5 + [WEEKEND] * 2
    weights = np.array(days, float) * draw.lognormal(0, 0.25, (7, 1)) * draw.gamma(0.8, 1.25, (7, 24))
    for hour in NIGHT_HOURS:
        weights[draw.random(7) > NIGHT_USE_SHARE, hour] = 0
    weights[draw.random(7) < VACANT_DAY_SHARE] = 0
    flat = weights.ravel()
    if not flat.any():
        flat = np.array(days, float).ravel()
    hours = draw.multinomial(total_l, flat / flat.sum()).tolist()
    return list(accumulate(hours, initial=0))[:-1], hours


def household(seed: int, number: int, leak_share: float = 0.08) -> Household:
    """The household behind meter `number` of a town; about `leak_share` of them have a leak now and then."""
    draw = np.random.default_rng((seed, number, 1_000_003))
    shop = bool(draw.random() < 0.06)
    people = int(draw.integers(6, 20) if shop else draw.choice(6, p=HOUSEHOLD_SIZES) + 1)
    leak = _leak(draw) if draw.random() < leak_share else None
    return Household(seed, number, people, shop, int(draw.integers(0, 90_000)), leak)


def _leak(draw: np.random.Generator) -> Leak:
    kind = list(LeakKind)[int(draw.choice(4, p=[0.25, 0.4, 0.25, 0.1]))]
    rate = int(draw.integers(*RATES_L_H[kind], endpoint=True))
    lasts_s = int(draw.integers(*DAYS_LONG[kind], endpoint=True)) * DAY_S
    return Leak(kind, rate, int(draw.integers(0, LEAK_PERIOD_S)), lasts_s)
