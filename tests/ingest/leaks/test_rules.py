"""The continuous-flow rule on curves: what raises, what clears, what does neither."""

import numpy as np
import pytest

from ingest.leaks import rules
from metering import consumption
from metering.leak_settings import VendorRule

T0 = 1_767_225_600
LITRE = 1_000


def hours_of(flows_l, threshold_ml=LITRE, offset_s=0, start_l=5_000):
    """`flows_l`: litres of each hour; None: the reading at its end is missing."""
    ts, index, litres = [T0 + offset_s], [start_l * LITRE], start_l
    for hour, flow in enumerate(flows_l, 1):
        litres += flow or 0
        if flow is not None:
            ts.append(T0 + offset_s + hour * 3600)
            index.append(litres * LITRE)
    curve = consumption.validated(np.array(ts), np.array(index), consumption.Limits.of())
    return rules.hours(curve, np.array([threshold_ml]))


def found(flows_l, **options):
    return rules.continuous_flow(hours_of(flows_l, **options))


def test_flow_in_24_hours_raises_at_the_last_of_them():
    (flow,) = found([0, *[4] * 10, 2, *[9] * 15])
    assert flow.started_at_s == T0 + 3600
    assert flow.raised_at_s == T0 + 25 * 3600
    assert flow.seen_at_s == T0 + 27 * 3600
    assert flow.rate_ml_h == 2 * LITRE
    assert flow.ended_at_s is None
    assert len(flow.hourly_ml) == 24


@pytest.mark.parametrize(
    ("flows", "why"),
    [
        ([5] * 23, "23 hours are not 24"),
        ([5] * 20 + [0] + [5] * 20, "an hour of rest between"),
        ([None] * 30, "no readings"),
        ([5] * 10 + [None] * 5 + [5] * 10, "too many hours unknown"),
        ([], "one reading"),
    ],
)
def test_is_silent(flows, why):
    assert found(flows) == [], why


@pytest.mark.parametrize("offset_s", [0, 600, 3599])
def test_a_lost_reading_neither_raises_nor_cancels(offset_s):
    (flow,) = found([5] * 12 + [None, 10] + [5] * 11, offset_s=offset_s)
    assert flow.hourly_ml.count(None) == 2
    assert flow.rate_ml_h == 5 * LITRE


def test_a_gap_in_which_nothing_flowed_cancels():
    assert found([5] * 12 + [None, 0] + [5] * 20) == []


def test_an_hour_without_flow_ends_it():
    (flow,) = found([5] * 30 + [0] + [5] * 3)
    assert flow.seen_at_s == T0 + 30 * 3600
    assert flow.ended_at_s == T0 + 31 * 3600


def test_below_the_threshold_of_its_size_is_no_flow():
    assert found([5] * 30, threshold_ml=10 * LITRE) == []


def test_an_excluded_step_is_unknown():
    flows = [5] * 30
    flows[20] = 900_000
    (flow,) = found(flows)
    assert flow.hourly_ml.count(None) == 1


def test_half_hourly_readings_are_judged_by_the_hour():
    ts = T0 + 1800 * np.arange(60)
    index = (np.arange(60) + 1) // 2 * LITRE
    curve = consumption.validated(ts, index, consumption.Limits.of())
    (flow,) = rules.continuous_flow(rules.hours(curve, np.array([LITRE])))
    assert flow.rate_ml_h == LITRE


def test_an_odd_reading_at_the_end_does_not_shift_the_hours():
    ts = np.append(T0 + 3600 * np.arange(26), T0 + 25 * 3600 + 700)
    index = np.append(np.cumsum([0] + [4] * 12 + [0] + [4] * 12), 97) * LITRE
    hours = rules.hours(consumption.validated(ts, index, consumption.Limits.of()), np.array([LITRE]))
    assert set(hours.end_s % 3600) == {0}
    assert (hours.state == rules.NO_FLOW).sum() == 1


def test_several_meters_are_judged_each_by_its_own():
    ts = np.concatenate([T0 + 3600 * np.arange(30)] * 3)
    index = np.concatenate([np.arange(30) * rate * LITRE for rate in (0, 3, 1)])
    limits = consumption.Limits(*(np.repeat(column, 3) for column in consumption.Limits.of()))
    curve = consumption.validated(ts, index, limits, np.repeat([0, 1, 2], 30))
    flows = rules.continuous_flow(rules.hours(curve, np.array([LITRE, LITRE, 2 * LITRE])))
    assert [flow.meter for flow in flows] == [1]


@pytest.mark.parametrize(
    ("dn_mm", "pulse_ml", "threshold_ml"),
    [(15, 1_000, 1_000), (8, 1_000, 1_000), (15, 10_000, 10_000), (90, 1, 25_000)],
)
def test_thresholds_grow_with_the_meter(dn_mm, pulse_ml, threshold_ml):
    assert threshold(VendorRule.FLOW_24H, dn_mm, 2_500, pulse_ml) == threshold_ml


def threshold(rule, dn_mm, q3_l_h, pulse_ml):
    (found,) = rules.threshold_ml_h(rule, np.array([dn_mm]), np.array([q3_l_h]), np.array([pulse_ml])).tolist()
    return found


@pytest.mark.parametrize(
    ("rule", "dn_mm", "q3_l_h", "pulse_ml", "threshold_ml"),
    [
        (VendorRule.FLOW_3_8, 15, 2_500, 1, 3_800), (VendorRule.FLOW_3_8, 100, 100_000, 1, 3_800),
        (VendorRule.FLOW_3_8, 15, 2_500, 10_000, 10_000),
        (VendorRule.Q3_0_5, 15, 2_500, 1_000, 12_500), (VendorRule.Q3_0_5, 40, 16_000, 1_000, 80_000),
        (VendorRule.Q3_0_5, 8, 1_000, 10_000, 10_000),
    ],
)  # fmt: skip
def test_what_each_makers_rule_asks(rule, dn_mm, q3_l_h, pulse_ml, threshold_ml):
    """A gallon an hour whatever the size; half a percent of Q3: 12.5 L/h of 2.5 m³/h; never less than one count."""
    assert threshold(rule, dn_mm, q3_l_h, pulse_ml) == threshold_ml


@pytest.mark.parametrize(
    ("litres", "held"),
    [(2, {VendorRule.FLOW_24H}), (4, {VendorRule.FLOW_24H, VendorRule.FLOW_3_8}), (13, set(VendorRule))],
)
def test_what_holds_for_a_household_that_never_rests(litres, held):
    """DN15, Q3 = 2.5 m³/h: 2 L an hour for a day and a night meet the first rule, 4 L the second too, 13 L all."""
    raised = {rule for rule in VendorRule if found([litres] * 24, threshold_ml=threshold(rule, 15, 2_500, 1_000))}
    assert raised == held


def test_nothing_comes_of_nothing():
    none = np.zeros(0, np.int64)
    hours = rules.hours(consumption.validated(none, none, consumption.Limits.of()), np.array([LITRE]))
    assert rules.continuous_flow(hours) == []
