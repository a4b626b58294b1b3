"""Hours of local days among the hours of UTC. Pure.

Habits are by the clock on the wall. An hour that a change of the clock skips does not exist, and of one that it repeats
nobody could say which of the two the habit meant: both are unknown, as if readings were missing. Days of 23 and 25
hours so have 24 hours like others. Where clocks change by less than an hour, hours after the change are off by that
until the next slice of days begins.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

import numpy as np

from ingest.leaks.habits import DAY_H, Floats
from metering.consumption import HOUR_S, Bools, Ints, day_number, midnights

_EPOCH = date(1970, 1, 1).toordinal()
DAY_S = DAY_H * HOUR_S
NOWHERE = -1


def day_of(zone: ZoneInfo, ts_s: Ints) -> Ints:
    """Local days, counted from 1970-01-01."""
    return day_number(zone, ts_s) + midnights(zone)[0] - _EPOCH


def midnight_s(zone: ZoneInfo, day: Ints) -> Ints:
    """When local days begin."""
    first, begins = midnights(zone)
    return begins[np.clip(day + _EPOCH - first, 0, len(begins) - 1)]


def as_date(day: int) -> date:
    return date.fromordinal(day + _EPOCH)


def day_number_of(day: date) -> int:
    return day.toordinal() - _EPOCH


def hour_begin_s(zone: ZoneInfo, number: int) -> int:
    """When a local hour begins, counted from 1970-01-01 00:00."""
    day, hour = divmod(number, DAY_H)
    return int(datetime.combine(as_date(day), time(hour), zone).timestamp())


class LocalHours(NamedTuple):
    """Where the hours of neighbouring local days lie among the hours of UTC that begin with the first midnight."""

    first_day: int
    from_s: int
    utc_hours: int
    column: Ints
    """(day, hour): position among the hours of UTC, or NOWHERE."""

    @property
    def days(self) -> int:
        return len(self.column)

    def of(self, flow: Floats) -> Floats:
        """Flows of local hours, (meter, hour), from those of the hours of UTC."""
        columns = self.column.ravel()
        if np.array_equal(columns, np.arange(flow.shape[1])):
            return flow
        local = flow[:, columns]
        local[:, columns == NOWHERE] = np.nan
        return local

    def hours_until(self, day: Ints, last_column: Ints) -> Ints:
        """How many hours of these days have begun by the end of these hours of UTC."""
        column = self.column[day - self.first_day]
        begun: Bools = (column != NOWHERE) & (column <= last_column[:, None])
        return np.where(begun.any(axis=1), DAY_H - np.argmax(begun[:, ::-1], axis=1), 0)


def local_hours(zone: ZoneInfo, first_day: int, days: int) -> LocalHours:
    """Of so many days."""
    begins = midnight_s(zone, np.arange(first_day, first_day + days + 1))
    column = (begins[:-1, None] - begins[0]) // HOUR_S + np.arange(DAY_H)
    for at in np.flatnonzero(np.diff(begins) != DAY_S).tolist():
        column[at] = [_column(zone, first_day + at, hour, int(begins[0])) for hour in range(DAY_H)]
    return LocalHours(first_day, int(begins[0]), int(begins[-1] - begins[0] + HOUR_S - 1) // HOUR_S, column)


def _column(zone: ZoneInfo, day: int, hour: int, from_s: int) -> int:
    """Of one hour of a day on which the clock changes."""
    wall = datetime.combine(as_date(day), time(hour), zone)
    later = wall.replace(fold=1)
    exists = wall.astimezone(UTC).astimezone(zone).replace(tzinfo=None) == wall.replace(tzinfo=None)
    once = wall.utcoffset() == later.utcoffset()
    middle = wall + timedelta(minutes=30)
    if not exists or not once or middle.utcoffset() != middle.replace(fold=1).utcoffset():
        return NOWHERE
    return (int(wall.timestamp()) - from_s) // HOUR_S
