"""Who lives behind a meter: kind, people, appliances, habits. A block of users is drawn at once. Pure.

Events and volumes for a person and day follow end-use studies, rounded: WRF 4309b (REUWS 2016: 5 flushes, 0.7 showers
of 8 minutes, 20 uses of taps, 0.3 loads of laundry) with the smaller volumes of dual-flush cisterns (3/6 L), of showers
of 6 L/min and of front loaders that are sold in China. Sizes of households: about those of China's census of 2020.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

import numpy as np

from simulators.water.calendar import Floats, Ints

BLOCK = 256
"""Users that are drawn together."""


class UserKind(IntEnum):
    HOME = 0
    SHOP = 1
    OFFICE = 2
    RESTAURANT = 3
    HOTEL = 4
    SCHOOL = 5


class Dwelling(IntEnum):
    """Whether anybody is there at all."""

    LIVED_IN = 0
    HOLIDAY_HOME = 1
    EMPTY = 2


class EndUse(NamedTuple):
    """`events` a person and day; `litres` of one, `spread` its coefficient of variation; `hours` of a working day and
    of a day off: relative, by hour of the day."""

    events: float
    litres: float
    spread: float
    hours: tuple[tuple[float, ...], tuple[float, ...]]


AWAKE = (
    (1.6, 0.7, 0.4, 0.35, 0.4, 0.8, 6.5, 9.5, 6.5, 5, 5, 5.5, 6, 5, 4.5, 4.5, 5, 6, 7, 7.5, 7.5, 7.5, 6, 4),
    (2.2, 1.1, 0.6, 0.4, 0.4, 0.7, 2.5, 5, 7.5, 8.5, 8, 7.5, 7, 5.5, 4.5, 4.5, 5, 6, 7, 7, 7, 7, 6, 4.5),
)
MEALS = (
    (0.1, 0, 0, 0, 0, 0.5, 4, 7, 4, 3, 5, 9, 9, 7, 4, 3, 4, 8, 10, 9, 7, 4, 2, 0.5),
    (0.2, 0.1, 0, 0, 0, 0.2, 1, 4, 7, 7, 7, 9, 9, 8, 5, 4, 4, 8, 10, 9, 7, 4, 2, 0.5),
)
WASHING = (
    (0.8, 0.2, 0.05, 0.05, 0.05, 0.4, 8, 13, 6, 3, 2, 2, 2, 2, 2, 2, 2, 3, 5, 7, 9, 9, 6, 2.5),
    (1, 0.4, 0.1, 0.05, 0.05, 0.3, 1.5, 4, 8, 11, 10, 8, 5, 3, 2.5, 2.5, 3, 4, 6, 7, 8, 8, 6, 3),
)
LAUNDRY = (
    (0.1, 0, 0, 0, 0, 0.3, 2, 4, 6, 7, 7, 6, 4, 3, 4, 4, 4, 4, 5, 7, 8, 6, 3, 0.7),
    (0.1, 0, 0, 0, 0, 0.1, 0.5, 3, 8, 12, 13, 11, 7, 5, 5, 5, 5, 5, 5, 5, 5, 4, 2, 0.5),
)
END_USES = (
    EndUse(4.6, 5.6, 0.3, AWAKE),  # flushes
    EndUse(11.0, 1.6, 1.0, AWAKE),  # taps
    EndUse(2.2, 7.0, 0.8, MEALS),  # cooking and washing up
    EndUse(0.65, 42.0, 0.45, WASHING),  # showers
    EndUse(0.24, 52.0, 0.25, LAUNDRY),
)


class Trade(NamedTuple):
    """A kind of commerce. `uses`: events of each of END_USES for a person and day; `days`: its trade on working days,
    weekends and holidays; `summer`: what the warmest day adds; `people`: fewest and most of them."""

    share: float
    people: tuple[int, int]
    uses: tuple[float, ...]
    days: tuple[float, float, float]
    summer: float
    hours: tuple[float, ...]


OPEN_LATE = (0.2, 0, 0, 0, 0, 0.3, 1, 2, 6, 9, 10, 10, 9, 9, 9, 9, 9, 9, 9, 8, 6, 3, 1, 0.3)
OPEN_DAY = (0, 0, 0, 0, 0, 0.1, 1, 5, 10, 10, 9, 10, 7, 7, 9, 9, 9, 7, 3, 1, 0.5, 0.2, 0.1, 0)
KITCHEN = (1, 0.3, 0, 0, 0, 0.5, 2, 4, 5, 7, 9, 11, 12, 9, 5, 4, 6, 10, 12, 11, 8, 5, 3, 2)
GUESTS = (3, 2, 1.5, 1, 1, 2, 6, 10, 9, 6, 4, 3, 3, 3, 3, 3, 4, 5, 6, 7, 8, 9, 8, 5)
TRADES = {
    UserKind.SHOP: Trade(0.040, (3, 15), (1.5, 4, 0.3, 0, 0), (1, 1.2, 0.9), 0.1, OPEN_LATE),
    UserKind.OFFICE: Trade(0.008, (10, 60), (2, 4, 0.2, 0, 0), (1, 0.1, 0.03), 0.1, OPEN_DAY),
    UserKind.RESTAURANT: Trade(0.012, (10, 60), (1, 3, 3, 0, 0), (1, 1.3, 1.2), 0.15, KITCHEN),
    UserKind.HOTEL: Trade(0.003, (15, 80), (4, 8, 1, 0.9, 0.2), (0.8, 1.1, 1.4), 0.5, GUESTS),
    UserKind.SCHOOL: Trade(0.002, (100, 400), (1.2, 2, 0.4, 0, 0), (1, 0.05, 0), -0.4, OPEN_DAY),
}
"""Shares are of all users."""
COMMERCE_SHARE = sum(trade.share for trade in TRADES.values())

HOUSEHOLD_SIZES = (0.25, 0.30, 0.21, 0.13, 0.07, 0.04)
"""Share of households of one, two … six people."""
DWELLINGS = (0.93, 0.03, 0.04)
HABIT_SPREAD = 0.30
"""Of how much water two people of the same place and season use: standard deviation of the logarithm."""
COMMON_WATER = 0.8
"""Water grows with the number of people to this power: some of it is the household's."""
CLOCK_SPREAD_H = 0.8
DRIBBLES_A_WEEK = 0.35


@dataclass(frozen=True, slots=True)
class Users:
    """A block of them; each array has one entry, or row, a user."""

    kind: Ints
    people: Ints
    dwelling: Ints
    events: Floats
    """Of each of END_USES a day, when all are there."""
    shift_h: Floats
    """How much later than others they live."""
    out_share: Floats
    """Of the working days on which nobody is at home for the day."""
    burstiness: Floats
    """Shape of the gamma law by which one hour differs from what is usual at its time: small is uneven."""
    dribbles: Floats
    """Times a week that a cistern runs on until somebody notices."""
    start_l: Ints
    """On the register at EPOCH."""

    @property
    def litres_a_day(self) -> Floats:
        """Of a working day of middling warmth."""
        litres: Floats = self.events @ np.array([use.litres for use in END_USES])
        return litres


def draw_users(draw: np.random.Generator) -> Users:
    kinds = [UserKind.HOME, *TRADES]
    kind = draw.choice(kinds, BLOCK, p=[1 - COMMERCE_SHARE, *(trade.share for trade in TRADES.values())])
    people = draw.choice(len(HOUSEHOLD_SIZES), BLOCK, p=HOUSEHOLD_SIZES) + 1
    dwelling = draw.choice(len(DWELLINGS), BLOCK, p=DWELLINGS)
    each = draw.lognormal(0, HABIT_SPREAD, (BLOCK, 1)) * draw.lognormal(0, 0.25, (BLOCK, len(END_USES)))
    events = np.array([use.events for use in END_USES]) * (people[:, None] ** COMMON_WATER * 1.12) * each
    size = draw.random(BLOCK)
    for which, trade in TRADES.items():
        of = kind == which
        fewest, most = trade.people
        people[of] = np.floor(fewest * (most / fewest) ** size[of])
        events[of] = people[of][:, None] * np.array(trade.uses) * each[of]
        dwelling[of] = Dwelling.LIVED_IN
    home = kind == UserKind.HOME
    return Users(
        kind=kind.astype(np.int64),
        people=people.astype(np.int64),
        dwelling=dwelling.astype(np.int64),
        events=events,
        shift_h=draw.normal(0, CLOCK_SPREAD_H, BLOCK) * home,
        out_share=np.where(home, draw.beta(0.5, 0.6 + 0.3 * people, BLOCK), 0),
        burstiness=np.where(home, draw.gamma(2, 0.8, BLOCK) + 0.3, 4.0),
        dribbles=draw.gamma(0.5, 2 * DRIBBLES_A_WEEK, BLOCK) * home,
        start_l=draw.integers(0, 90_000, BLOCK),
    )


def hours_of(users: Users, day_off: bool) -> Floats:
    """Share of a day's events by use, user and hour of the day; each user's day moved by their `shift_h`."""
    shapes = np.array([use.hours[int(day_off)] for use in END_USES], float)
    by_user = np.repeat(shapes[:, None, :], BLOCK, axis=1)
    whole = np.floor(users.shift_h).astype(np.int64)
    part = (users.shift_h - whole)[:, None]
    hour = np.arange(24)[None, :] - whole[:, None]
    moved = np.take_along_axis(by_user, np.broadcast_to(hour % 24, by_user.shape), 2) * (1 - part)
    moved += np.take_along_axis(by_user, np.broadcast_to((hour - 1) % 24, by_user.shape), 2) * part
    for which, trade in TRADES.items():
        moved[:, users.kind == which] = np.array(trade.hours, float)
    shares: Floats = moved / moved.sum(2, keepdims=True)
    return shares
