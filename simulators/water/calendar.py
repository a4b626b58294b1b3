"""Days of a Chinese town: working days, weekends, public holidays, seasons. Days are counted from `EPOCH`. Pure.

Working Saturdays that make up for a holiday are left out, and of the holidays that follow the moon all but one.
"""

from __future__ import annotations

from datetime import date, timedelta
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from simulators.local_time import DAY_S

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

WEEK_S = 7 * DAY_S
EPOCH = date(2024, 1, 1)
"""A Monday, the first day of week 0."""
EPOCH_S = 1_704_038_400
"""Its midnight in China."""
WEEKS = 522
"""Ten years are planned at once, so that an index is a sum over the same draws whenever one looks."""
DAYS = 7 * WEEKS
END_S = EPOCH_S + DAYS * DAY_S

WORKDAY, WEEKEND, HOLIDAY = 0, 1, 2
SPRING_FESTIVALS = (
    date(2024, 2, 10), date(2025, 1, 29), date(2026, 2, 17), date(2027, 2, 6), date(2028, 1, 26), date(2029, 2, 13),
    date(2030, 2, 3), date(2031, 1, 23), date(2032, 2, 11), date(2033, 1, 31),
)  # fmt: skip
FESTIVAL_DAYS = 7
FIXED_HOLIDAYS = ((1, 1, 1), (4, 4, 3), (5, 1, 5), (10, 1, 7))
"""Month, day, days long: New Year, Qingming, Labour Day, the National Day week."""
WARMEST_DAY = 205
"""Of the year: late July."""


def _holidays() -> set[date]:
    first = [(festival - timedelta(days=1), FESTIVAL_DAYS) for festival in SPRING_FESTIVALS]
    first += [(date(year, month, day), days) for year in range(2024, 2034) for month, day, days in FIXED_HOLIDAYS]
    return {begin + timedelta(days=after) for begin, days in first for after in range(days)}


@lru_cache(maxsize=1)
def day_kinds() -> Ints:
    """WORKDAY, WEEKEND or HOLIDAY of each of DAYS days."""
    kinds = np.where(np.arange(DAYS) % 7 >= 5, WEEKEND, WORKDAY)
    for holiday in _holidays():
        if 0 <= (place := (holiday - EPOCH).days) < DAYS:
            kinds[place] = HOLIDAY
    return kinds


@lru_cache(maxsize=1)
def warmth() -> Floats:
    """From -1 on the coldest to 1 on the warmest day of the year, of each of DAYS days."""
    of_year = np.array([(EPOCH + timedelta(days=day)).timetuple().tm_yday for day in range(DAYS)])
    warm: Floats = np.cos(2 * np.pi * (of_year - WARMEST_DAY) / 365.25)
    return warm


@lru_cache(maxsize=1)
def travel() -> Floats:
    """How much likelier than on a working day of spring it is that people leave for some days."""
    kinds = day_kinds()
    begins = (kinds == HOLIDAY) & (np.roll(kinds, 1) != HOLIDAY)
    return np.where(begins, 12.0, np.where(warmth() > 0.8, 2.0, 1.0))
