"""Local hours among those of UTC, where clocks change and where they do not."""

from __future__ import annotations

from datetime import date, datetime
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from ingest.leaks.live import local_hours as hours
from metering.consumption import HOUR_S

SHANGHAI, BERLIN = ZoneInfo("Asia/Shanghai"), ZoneInfo("Europe/Berlin")
SPRING, AUTUMN = date(2026, 3, 29), date(2026, 10, 25)


def number(day: date) -> int:
    return hours.day_number_of(day)


def test_where_clocks_do_not_change_hours_are_as_they_are() -> None:
    local = hours.local_hours(SHANGHAI, number(SPRING), 3)
    flow = np.arange(2 * 72, dtype=np.float32).reshape(2, 72)
    assert local.utc_hours == 72
    assert local.of(flow) is flow


@pytest.mark.parametrize(("day", "utc_hours", "unknown"), [(SPRING, 71, 2), (AUTUMN, 73, 2)])
def test_an_hour_skipped_or_repeated_is_unknown_and_the_others_keep_their_place(
    day: date, utc_hours: int, unknown: int
) -> None:
    first = number(day) - 1
    local = hours.local_hours(BERLIN, first, 3)
    assert local.utc_hours == utc_hours
    begin = np.arange(utc_hours) * HOUR_S + local.from_s
    wall = np.array([datetime.fromtimestamp(at, BERLIN).hour for at in begin.tolist()], np.float32)
    flow = local.of(wall[None, :])[0].reshape(3, 24)
    expected = np.tile(np.arange(24, dtype=np.float32), (3, 1))
    expected[1, unknown] = np.nan
    np.testing.assert_array_equal(flow, expected)


def test_how_many_hours_of_a_day_are_over() -> None:
    local = hours.local_hours(BERLIN, number(SPRING), 2)
    day = np.array([local.first_day, local.first_day, local.first_day, local.first_day + 1])
    assert local.hours_until(day, np.array([-1, 1, 2, 23])).tolist() == [0, 2, 4, 1]


def test_days_and_hours_have_their_instants() -> None:
    day = number(AUTUMN)
    midnight = int(hours.midnight_s(BERLIN, np.array([day]))[0])
    assert datetime.fromtimestamp(midnight, BERLIN) == datetime(2026, 10, 25, tzinfo=BERLIN)
    assert hours.day_of(BERLIN, np.array([midnight - 1, midnight, midnight + 25 * HOUR_S])).tolist() == [
        day - 1, day, day + 1,
    ]  # fmt: skip
    assert hours.hour_begin_s(BERLIN, day * 24 + 5) == midnight + 6 * HOUR_S
    assert hours.as_date(day) == AUTUMN
