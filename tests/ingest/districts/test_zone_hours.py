"""Which hours are due, what a district's sums balance to, and what shifts make of its alert."""

import pytest

from ingest.districts import zone_alerts
from ingest.districts.balance import Errors
from ingest.districts.level_shifts import Shift
from ingest.districts.zone_hours import LAGS_H, MAX_HOURS, balanced, due
from metering.consumption import HOUR_S
from metering.district_settings import DistrictSettings

NOW = 1_000_000 * HOUR_S


def test_an_hour_is_computed_at_each_lag_once():
    hour = NOW - 30 * HOUR_S
    done = dict.fromkeys(range(NOW - 100 * HOUR_S, NOW, HOUR_S), NOW)
    assert due(NOW, done) == []
    assert due(NOW, done | {hour: hour + 25 * HOUR_S}) == [hour]
    assert due(NOW, done | {hour: hour + 27 * HOUR_S}) == []
    assert due(NOW + HOUR_S, done) == [NOW + HOUR_S - lag * HOUR_S for lag in LAGS_H]


def test_what_was_missed_is_made_up_in_parts_the_newest_first():
    assert due(NOW, {}) == [NOW - (LAGS_H[0] + at) * HOUR_S for at in range(MAX_HOURS)]


def balanced_row(of):
    return balanced(of, Errors())


def newest(zone_id, shifts, first_s, rule):
    return zone_alerts.newest(zone_id, shifts, first_s, rule, DistrictSettings())


def row(**changes):
    return {
        "district": 7, "inlet_ml": 100_000.0, "outlet_ml": 0, "meters": 10, "measured": 8, "volume_ml": 80_000.0,
        "squares": 8 * 10_000.0**2, "counts": 8e6, "usual_known_ml": 40_000.0, "usual_missing_ml": 5_000.0,
        "missing_squares": 5_000.0**2, "strangers": 1, "leaking_ml": 0.0,
    } | changes  # fmt: skip


def test_who_did_not_report_used_what_the_others_did():
    of = balanced_row(row())
    assert (of.zone_id, of.customers_ml, of.estimated_ml) == (7, 100_000, 20_000)  # twice the usual, and one stranger


def test_a_known_leak_goes_on():
    assert balanced_row(row(leaking_ml=50_000.0)).estimated_ml == 50_000


def test_missing_meters_widen_the_band():
    assert balanced_row(row()).sigma_ml > 2 * balanced_row(row(missing_squares=0.0, strangers=0)).sigma_ml


def test_an_unknown_inlet_stays_unknown():
    assert balanced_row(row(inlet_ml=None)).inlet_ml is None


def shift(size, start, is_leak):
    return Shift(0, start + 3, start, start - 1, start + 1, size, size / 10, 2.0, 1_000.0, is_leak)


def test_a_further_rise_adds_and_a_fall_ends():
    rises = [shift(50.0, 10, True), shift(30.0, 40, True)]
    lasting = newest(7, rises, 0, "balance")
    assert (lasting.started_at_s, lasting.rate_ml_h, lasting.ended_at_s) == (10 * HOUR_S, 80, None)
    assert (lasting.severity, lasting.evidence["rises"]) == ("warning", 2)
    smaller = newest(7, [*rises, shift(-20.0, 60, False)], 0, "balance")
    assert (smaller.ended_at_s, smaller.rate_ml_h, smaller.evidence["rate_ml_h"]) == (None, 60, 60)
    assert newest(7, [*rises, shift(-75.0, 60, False)], 0, "balance").ended_at_s == 60 * HOUR_S
    anew = newest(7, [*rises, shift(-75.0, 60, False), shift(200.0, 90, True)], 0, "balance")
    assert (anew.started_at_s, anew.rate_ml_h, anew.severity) == (90 * HOUR_S, 200, "critical")
    assert newest(7, [shift(-20.0, 5, False)], 0, "balance") is None


def test_the_band_of_the_rate_is_said():
    assert newest(7, [shift(50.0, 10, True)], 0, "balance").evidence["rate_error_ml_h"] == pytest.approx(10)
