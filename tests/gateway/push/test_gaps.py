"""A platform that stops while pushes are expected is noticed; a quiet hour is none."""

from __future__ import annotations

from gateway.push.gaps import HOUR_S, HOURS, PushRate

DAY_S = HOURS * HOUR_S
START_S = 1_767_225_600  # 2026-01-01 00:00 UTC
EVERY_S = 20


def learned(days: int = 2, from_hour: int = 0, to_hour: int = 24) -> PushRate:
    """A push every EVERY_S seconds in some hours of each day."""
    rate = PushRate()
    for day in range(days):
        for at_s in range(day * DAY_S + from_hour * HOUR_S, day * DAY_S + to_hour * HOUR_S, EVERY_S):
            assert rate.pushed(START_S + at_s) is None
        rate.advance(START_S + (day + 1) * DAY_S - 1)
    return rate


def test_a_pause_of_ten_minutes_is_a_gap_with_what_it_missed() -> None:
    rate, now_s = learned(), START_S + 2 * DAY_S
    rate.pushed(now_s)
    assert not rate.silent(now_s + 60)
    assert rate.silent(now_s + 600)
    gap = rate.pushed(now_s + 600)
    assert gap is not None
    assert (gap.since_s, gap.until_s) == (now_s, now_s + 600)
    assert 25 <= gap.missing <= 35
    assert rate.pushed(now_s + 620) is None


def test_hours_in_which_nothing_comes_are_no_gap() -> None:
    rate = learned(days=3, from_hour=0, to_hour=6)
    last_s = START_S + 2 * DAY_S + 6 * HOUR_S - EVERY_S
    assert not rate.silent(last_s + 12 * HOUR_S)
    assert rate.silent(last_s + 19 * HOUR_S)


def test_a_gap_does_not_teach_that_nothing_comes() -> None:
    rate, now_s = learned(days=3), START_S + 3 * DAY_S
    for hour in range(30):
        rate.advance(now_s + hour * HOUR_S)
    assert rate.silent(now_s + 30 * HOUR_S)
    assert min(rate.rates) > 0.9 / EVERY_S


def test_nothing_is_known_at_first_and_little_traffic_never_alarms() -> None:
    assert not PushRate().silent(START_S)
    rate = PushRate()
    for day in range(10):
        rate.pushed(START_S + day * DAY_S)
        rate.advance(START_S + day * DAY_S + HOUR_S)
    assert not rate.silent(START_S + 11 * DAY_S)


def test_it_outlives_the_process() -> None:
    rate = learned()
    again = PushRate.of(rate.kept())
    assert again.silent(START_S + 2 * DAY_S + 600)
    for nonsense in (None, {}, {"rates": "x", "last_s": 1}, {"rates": [1], "last_s": 0}):
        assert not PushRate.of(nonsense).silent(START_S)
