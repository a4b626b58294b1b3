"""Long gaps on days on which clocks change: habits are by the clock on the wall, not by hours since midnight."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from metering import consumption as c
from metering.consumption.curve import HOUR_S, ordered
from metering.consumption.gaps import filled_alone
from metering.consumption.volumes import clock_hour

BERLIN, SHANGHAI = ZoneInfo("Europe/Berlin"), ZoneInfo("Asia/Shanghai")
EVENING = 19
LITRE = 1_000


def local(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=BERLIN).timestamp())


def household(first_s: int, days: int, hole: tuple[int, int]) -> c.Readings:
    """20 L at 19:00 by the clock, nothing else; within the hole no reading."""
    index, ts_s, index_ml = 1_000 * LITRE, [], []
    for at_s in range(first_s, first_s + days * 24 * HOUR_S, HOUR_S):
        if not hole[0] < at_s < hole[1]:
            ts_s.append(at_s)
            index_ml.append(index)
        index += 20 * LITRE * (datetime.fromtimestamp(at_s, BERLIN).hour == EVENING)
    return ordered(np.array(ts_s, np.int64), np.array(index_ml, np.int64))


@pytest.mark.parametrize("change", ["2026-03-29", "2026-10-25"])
def test_the_evening_stays_the_evening_on_a_day_of_23_or_25_hours(change: str) -> None:
    begin, end = local(f"{change} 00:00"), local(f"{change} 23:00")
    readings = household(begin - 16 * 24 * HOUR_S, 18, (begin, end))
    spread = filled_alone(readings, c.Limits.of(), 6 * HOUR_S, BERLIN)
    hours = c.hours(spread, BERLIN, begin, end)
    most = int(hours.start_s[np.argmax(hours.consumption_ml)])
    assert datetime.fromtimestamp(most, BERLIN).hour == EVENING


def test_habits_learnt_over_a_change_are_of_one_hour() -> None:
    """The gap begins two days after the change: its profile holds days before and after it, and the day itself."""
    change = local("2026-03-29 00:00")
    begin = local("2026-03-31 12:00")
    readings = household(change - 16 * 24 * HOUR_S, 20, (begin, begin + 24 * HOUR_S))
    spread = filled_alone(readings, c.Limits.of(), 6 * HOUR_S, BERLIN)
    hours = c.hours(spread, BERLIN, begin, begin + 24 * HOUR_S)
    evening = [datetime.fromtimestamp(int(at), BERLIN).hour == EVENING for at in hours.start_s]
    beside = int(hours.consumption_ml[~np.array(evening)].max())
    assert beside <= 20, "an hour beside the evening has a share of it"
    assert int(hours.consumption_ml.sum()) == 20 * LITRE


@pytest.mark.parametrize("zone", [BERLIN, SHANGHAI])
@pytest.mark.parametrize("day", ["2026-03-28", "2026-10-24"])
def test_the_hour_that_clocks_show(zone: ZoneInfo, day: str) -> None:
    first = datetime.fromisoformat(day).replace(tzinfo=zone)
    ts_s = int(first.timestamp()) + 1_800 * np.arange(2 * 72, dtype=np.int64)
    shown = [datetime.fromtimestamp(int(at), zone).hour for at in ts_s]
    assert clock_hour(zone, ts_s).tolist() == shown
    assert clock_hour(zone, ts_s[:0]).tolist() == []
