"""The IWA balance adds up; UARL is Lambert's own formula."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering.water_balance import Pipes, uarl_l_day, water_balance

M3 = 1_000_000


@given(st.integers(0, 10**15), st.integers(0, 10**15), st.integers(1, 366))
def test_the_parts_are_the_whole(put_in, billed, days):
    of = water_balance(put_in, billed, days)
    assert of.billed_ml + of.unbilled_ml + of.apparent_ml + of.real_ml == of.input_ml
    assert of.unbilled_ml + of.apparent_ml + of.real_ml == of.non_revenue_ml


def test_unavoidable_losses_as_lambert_has_them():
    """18 L/km/d/m and 0.8 L/connection/d/m: 10 km and 500 connections at 40 m lose 23.2 m³ a day at best."""
    assert uarl_l_day(Pipes(10_000, 500, 40.0)) == pytest.approx(40 * (180 + 400))
    assert uarl_l_day(Pipes(10_000, None, 40.0)) is None


def test_the_leakage_index():
    of = water_balance(30_000 * M3, 24_000 * M3, 30, Pipes(10_000, 500, 40.0))
    assert of.real_ml == (30_000 - 24_000) * M3 - 150 * M3 - 480 * M3
    assert of.carl_l_day == pytest.approx(5_370_000 / 30)
    assert of.ili == pytest.approx(179_000 / 23_200)
    assert water_balance(30_000 * M3, 24_000 * M3, 30).ili is None
