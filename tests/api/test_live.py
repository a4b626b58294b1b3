"""The live rate of reports."""

from __future__ import annotations

import pytest

from api.live import MAX_SAMPLES, RATE_WINDOW_S, ReportRate


def test_the_rate_is_the_slope_of_the_window() -> None:
    rate = ReportRate()
    rate.observe(0, 100)
    assert rate.per_second() is None
    rate.observe(2, 120)
    assert rate.per_second() == pytest.approx(10)
    for second in range(3, 100):
        rate.observe(second, 120)
    assert rate.per_second() == 0


def test_midnight_and_a_pause_begin_anew() -> None:
    rate = ReportRate()
    for now_s, total in [(0, 100), (1, 200), (2, 5)]:
        rate.observe(now_s, total)
    assert rate.per_second() is None
    rate.observe(3, 15)
    assert rate.per_second() == pytest.approx(10)
    rate.observe(3 + RATE_WINDOW_S + 1, 1000)
    assert rate.per_second() is None


def test_memory_is_bounded() -> None:
    rate = ReportRate()
    for number in range(10_000):
        rate.observe(number / 1000, number)
    assert len(rate._samples) <= MAX_SAMPLES
