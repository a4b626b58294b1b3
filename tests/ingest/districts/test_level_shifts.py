"""Shifts of a flow: found where they begin, not found where there is none, and never from the future."""

import numpy as np
import pytest

from ingest.districts.detection import balance_rules, inflow_rules
from ingest.districts.level_shifts import Correction, Rules, find_shifts
from metering.district_settings import DistrictSettings

HOURS = 60 * 24
RULES = Rules(windows_h=(4, 12, 24, 48), threshold=5.0, least_share=0.05, history_days=21, warm_days=14, scale_days=28)


def town(hours=HOURS, districts=1, noise=2.0, seed=1):
    hour = np.arange(hours) % 24
    daily = 100 + 30 * np.sin(2 * np.pi * hour / 24)
    return daily + np.random.default_rng(seed).normal(0, noise, (districts, hours)), hour


def test_a_burst_is_found_with_its_start_and_size_within_hours():
    flow, hour = town()
    flow[0, 1000:] += 25
    first = next(shift for shift in find_shifts(flow, hour, RULES) if shift.is_leak)
    assert 1000 <= first.seen <= 1006
    assert abs(first.start - 1000) <= 2
    assert first.earliest <= first.start <= first.latest
    assert first.size == pytest.approx(25, abs=5)
    assert 0 < first.size_sigma < 5


def test_quiet_districts_raise_nothing():
    flow, hour = town(districts=4, seed=3)
    assert [shift for shift in find_shifts(flow, hour, RULES) if shift.is_leak] == []


def test_a_repair_and_a_return_are_no_leaks():
    flow, hour = town()
    flow[0, 1000:1060] -= 25
    shifts = find_shifts(flow, hour, RULES)
    assert [shift.is_leak for shift in shifts] == [False] * len(shifts)
    assert min(shift.size for shift in shifts) < -15 < 15 < max(shift.size for shift in shifts)


def test_a_second_burst_is_found_on_top_of_the_first():
    flow, hour = town()
    flow[0, 900:] += 25
    flow[0, 1100:] += 25
    starts = [shift.start for shift in find_shifts(flow, hour, RULES) if shift.is_leak]
    assert abs(starts[0] - 900) <= 2
    assert any(abs(start - 1100) <= 2 for start in starts)


@pytest.mark.parametrize("cut", [1003, 1010, 1200])
def test_what_comes_later_changes_nothing_before(cut):
    flow, hour = town()
    flow[0, 1000:] += 25
    whole = [shift for shift in find_shifts(flow, hour, RULES) if shift.seen < cut]
    assert find_shifts(flow[:, :cut], hour[:cut], RULES) == whole


def test_one_wild_hour_proves_nothing_where_hours_are_clipped():
    flow, hour = town()
    flow[0, 1000] += 500
    shifts = find_shifts(flow, hour, RULES._replace(clip=3.0))
    assert [shift for shift in shifts if shift.is_leak] == []


def test_what_all_districts_do_is_nobody_s_leak():
    flow, hour = town(districts=5)
    flow[:, 1000:1100] += 25
    rules = RULES._replace(common=True)
    assert [shift for shift in find_shifts(flow, hour, rules) if shift.is_leak] == []
    flow[2, 1000:1100] += 25
    assert {shift.district for shift in find_shifts(flow, hour, rules) if shift.is_leak} == {2}


def test_missing_hours_and_an_empty_district_harm_nothing():
    flow, hour = town(districts=2)
    flow[0, 1000:] += 25
    flow[0, 980:990] = np.nan
    flow[1] = np.nan
    found = [shift for shift in find_shifts(flow, hour, RULES) if shift.is_leak]
    assert {shift.district for shift in found} == {0}


def test_a_correction_counts_from_the_hour_it_came():
    flow, hour = town()
    flow[0, 1000:1010] += 25
    wide = np.zeros_like(flow)
    wide[0, 1000:1010] = 50.0**2
    told = {1012: [Correction(0, 1000 + at, 0.0, -(50.0**2)) for at in range(10)]}
    assert next(iter(find_shifts(flow, hour, RULES, wide, told))).seen == 1012
    less = {1012: [Correction(0, 1000 + at, -25.0, -(50.0**2)) for at in range(10)]}
    assert find_shifts(flow, hour, RULES, wide, less) == []


def test_a_wide_band_keeps_quiet():
    flow, hour = town()
    flow[0, 1000:1010] += 25
    variance = np.zeros_like(flow)
    variance[0, 1000:1010] = 50.0**2
    assert [shift for shift in find_shifts(flow, hour, RULES, variance) if shift.is_leak] == []


def test_the_rules_that_run_find_what_they_are_for():
    flow, hour = town(hours=90 * 24, districts=4)
    flow[1, 1800:] += 30
    for rules in (balance_rules(DistrictSettings()), inflow_rules(DistrictSettings())):
        found = [shift for shift in find_shifts(flow, hour, rules) if shift.is_leak]
        assert {shift.district for shift in found} == {1}
        assert abs(found[0].start - 1800) <= 12


def test_the_same_leak_proves_less_where_the_flow_swings_anyway():
    flow, hour = town(hours=90 * 24, districts=2, seed=5)
    rng = np.random.default_rng(6)
    for day in range(1, 90):
        flow[1, day * 24 : day * 24 + 24] += rng.normal(0, 12)
    flow[:, 80 * 24 :] += 40
    score = [0.0, 0.0]
    for shift in find_shifts(flow, hour, inflow_rules(DistrictSettings())):
        if shift.seen >= 80 * 24 and shift.is_leak:
            score[shift.district] = max(score[shift.district], shift.score)
    assert score[0] > 1
    assert score[1] < score[0] / 2


def test_a_leak_is_told_from_what_people_draw_by_day():
    flow, hour = town(hours=90 * 24, districts=1)
    rng = np.random.default_rng(7)
    flow[0, (hour >= 8) & (hour <= 20)] += rng.normal(0, 25, 90).repeat(13)
    flow[0, 1800:] += 20
    (first, *_) = [shift for shift in find_shifts(flow, hour, inflow_rules(DistrictSettings())) if shift.is_leak]
    assert (first.district, abs(first.start - 1800) <= 24) == (0, True)
    assert first.size == pytest.approx(20, abs=8)
