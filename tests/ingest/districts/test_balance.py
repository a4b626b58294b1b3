"""The balance: what goes in and is not sold, and a band that widens with what is not measured."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.districts.balance import DAY_H, LASTING_HOURS, Hours, balance, daily, estimated, lasting, usual_per_hour

METERS, DAYS = 40, 5


def homes(seed=1, days=DAYS):
    rng = np.random.default_rng(seed)
    return rng.uniform(0, 30, (METERS, days * DAY_H))


def found(volume, inlet=None, outlet=0.0):
    inlet = np.nansum(volume, axis=0) + 50.0 if inlet is None else inlet
    return balance(inlet, np.full(volume.shape[1], outlet), Hours(volume, np.ones(METERS)))


def test_what_is_not_sold_is_unaccounted():
    of = found(homes())
    assert of.unaccounted == pytest.approx(np.full(DAYS * DAY_H, 50.0))
    assert of.measured.tolist() == [1.0] * DAYS * DAY_H
    low, high = of.band
    assert (low < 50).all()
    assert (high > 50).all()


def test_outlets_are_taken_off():
    assert found(homes(), outlet=20.0).unaccounted == pytest.approx(np.full(DAYS * DAY_H, 30.0))


def test_missing_meters_are_estimated_and_widen_the_band():
    volume = homes()
    whole = found(volume)
    partly = volume.copy()
    partly[:8, -12:] = np.nan
    of = found(partly, inlet=volume.sum(axis=0) + 50.0)
    assert (of.sigma[-12:] > 2 * whole.sigma[-12:]).all()
    assert of.sigma[:-12] == pytest.approx(whole.sigma[:-12])
    assert of.estimated[-1] > 0
    assert of.measured[-1] == pytest.approx(0.8)
    assert abs(of.unaccounted[-12:] - 50).max() < 4 * of.sigma[-12:].max()


@settings(max_examples=25, deadline=None)
@given(st.integers(0, METERS - 1), st.integers(1, METERS - 1))
def test_one_more_missing_meter_never_narrows_the_band(missing, more):
    volume = homes()
    volume[:missing, -1] = np.nan
    fewer = volume.copy()
    fewer[: min(missing + more, METERS), -1] = np.nan
    inlet = np.full(volume.shape[1], 700.0)
    usual = usual_per_hour(volume[:, :-1].repeat(2, axis=1)[:, : volume.shape[1]])
    resolution = np.ones(METERS)
    before = balance(inlet, inlet * 0, Hours(volume, resolution), usual).sigma[-1]
    after = balance(inlet, inlet * 0, Hours(fewer, resolution), usual).sigma[-1]
    assert after >= before * 0.7  # estimates differ from what was measured, too


def test_a_customer_s_leak_is_not_blamed_on_the_main_when_a_reading_is_lost():
    volume = homes()
    volume[3, -20:] += 2_000.0
    inlet = volume.sum(axis=0) + 50.0
    volume[3, -2:] = np.nan
    of = found(volume, inlet=inlet)
    assert abs(of.unaccounted[-1] - 50) < 100


def test_what_lasted_is_forgotten_after_two_days():
    volume = np.full((1, 80), np.nan)
    volume[0, 10 : 10 + LASTING_HOURS] = [7.0, 5.0, 9.0]
    assert lasting(volume)[0, [12, 13, 60, 61]].tolist() == [0.0, 5.0, 5.0, 0.0]


def test_usual_hours_come_from_days_before_only():
    volume = homes()
    first = usual_per_hour(volume)
    volume[:, 3 * DAY_H :] = 999.0
    assert np.isnan(first[:, :DAY_H]).all()
    assert usual_per_hour(volume)[:, : 4 * DAY_H] == pytest.approx(first[:, : 4 * DAY_H], nan_ok=True)


def test_a_meter_nobody_knows_counts_as_the_mean():
    volume = homes()
    volume[0] = np.nan
    put_in = estimated(volume, usual_per_hour(volume))
    assert 5 < put_in[0, -1] < 25


def test_days_add_up_and_their_band_is_relative_narrower():
    of = found(homes())
    days = daily(of)
    assert days.unaccounted == pytest.approx(np.full(DAYS, 24 * 50.0))
    assert days.inflow.sum() == pytest.approx(of.inflow.sum())
    assert (days.sigma / days.inflow < of.sigma[0] / of.inflow[0]).all()
