"""From indices and inflows to alerts, as `leaks evaluate` writes them; and the hours they are made of."""

from datetime import datetime, timedelta

import numpy as np
import pytest

from ingest.districts import evaluation
from ingest.districts.detection import balance_rules, inflow_rules
from ingest.districts.known_hours import NEVER, known_hours
from metering.consumption import HOUR_S, Limits
from metering.district_settings import DistrictSettings

T0 = 1_736_121_600
HOURS, METERS = 50 * 24, 60
BURST_AT = 40 * 24


def limits(meters, pulse_ml=1_000, q3_l_h=2_500):
    values = (q3_l_h * 1_250, 10**14, pulse_ml)
    return Limits(*(np.full(meters, value, np.int64) for value in values))


def indices(flow_l, keep=None, pulse_ml=1_000, q3_l_h=2_500):
    """`flow_l`: meters × hours; readings at the full hours from T0 on."""
    meters, hours = flow_l.shape
    index_ml = np.concatenate((np.zeros((meters, 1)), np.cumsum(flow_l, axis=1)), axis=1) * 1_000
    index_ml = (index_ml // pulse_ml * pulse_ml).astype(np.int64) + 10**9
    meter = np.repeat(np.arange(meters), hours + 1)
    ts_s = np.tile(T0 + HOUR_S * np.arange(hours + 1), meters)
    kept = np.ones(len(meter), bool) if keep is None else keep.ravel()
    return evaluation.Indices(meter[kept], ts_s[kept], index_ml.ravel()[kept], limits(meters, pulse_ml, q3_l_h))


def town(seed=1):
    rng = np.random.default_rng(seed)
    shape = 1 + np.sin(2 * np.pi * (np.arange(HOURS) % 24 - 9) / 24)
    return rng.exponential(12.0, (METERS, HOURS)) * shape


def inlet_of(flow_l, main_l):
    rng = np.random.default_rng(2)
    through = (flow_l.sum(axis=0) + main_l) * rng.normal(1, 0.01, HOURS)
    return indices(through[None, :], pulse_ml=10_000, q3_l_h=100_000)


def test_a_burst_of_the_main_is_found_from_indices():
    flow, main = town(), np.full(HOURS, 80.0)
    main[BURST_AT:] += 200.0
    keep = np.random.default_rng(3).random((METERS, HOURS + 1)) > 0.02
    (first, *_) = evaluation.from_readings(
        "D1", indices(flow, keep), inlet_of(flow, main), balance_rules(DistrictSettings())
    )
    start = datetime.fromisoformat("2025-01-06") + timedelta(hours=BURST_AT)
    assert (first.subject, first.kind) == ("D1", "DMA_LEAK")
    assert start < first.raised_at <= start + timedelta(hours=12)
    assert abs(first.est_start - start) <= timedelta(hours=6)
    assert first.est_rate_lph == pytest.approx(200, rel=0.4)


def test_a_customer_s_burst_raises_nothing_even_where_readings_are_lost():
    flow, main = town(), np.full(HOURS, 80.0)
    flow[5, BURST_AT:] += 2_800.0
    keep = np.random.default_rng(3).random((METERS, HOURS + 1)) > 0.02
    keep[5, BURST_AT + 10 : BURST_AT + 14] = False
    assert (
        evaluation.from_readings("D1", indices(flow, keep), inlet_of(flow, main), balance_rules(DistrictSettings()))
        == []
    )


def test_an_inflow_alone_tells_by_its_nights():
    rng = np.random.default_rng(4)
    hour = np.arange(120 * 24) % 24
    flow = 10 + 5 * np.sin(2 * np.pi * (hour - 9) / 24) + rng.normal(0, 0.2, (4, len(hour)))
    flow[2, 100 * 24 :] += 2.0
    found = evaluation.from_inflows(evaluation.Inflows(list("ABCD"), T0, flow), inflow_rules(DistrictSettings()))
    assert {alert.subject for alert in found} == {"C"}
    assert found[0].est_rate_lph == pytest.approx(2 * 3_600, rel=0.3)


def test_hours_are_known_when_a_later_reading_comes():
    of = indices(np.full((1, 6), 5.0), np.array([[1, 1, 0, 0, 1, 1, 1]], bool))
    volume, known_s = known_hours(*of, T0, 8)
    assert volume[0].tolist()[:6] == [5_000.0] * 6
    assert np.isnan(volume[0, 6:]).all()
    assert ((known_s[0, :6] - T0) // HOUR_S).tolist() == [1, 4, 4, 4, 5, 6]
    assert known_s[0, 6] == NEVER
    none = np.zeros(0, np.int64)
    assert np.isnan(known_hours(none, none, none, limits(1), T0, 3).volume_ml).all()


def test_what_becomes_known_later_is_a_correction():
    keep = np.ones((METERS, HOURS + 1), bool)
    keep[0, 1_000:1_003] = False
    of = indices(town(), keep)
    homes = known_hours(of.meter, of.ts_s, of.index_ml, of.limits, T0, HOURS)
    in_time, corrections = evaluation.as_it_came(homes, T0)
    assert np.isnan(in_time[0, 999:1_002]).all()
    assert list(corrections) == [1_002]
    assert [correction.hour for correction in corrections[1_002]] == [999, 1_000, 1_001]


def test_a_large_customer_s_draught_is_his_where_his_size_is_told():
    flow, main = town(), np.full(HOURS, 80.0)
    flow[7, BURST_AT:] += 12_000.0
    names = [f"M{at}" for at in range(METERS)]
    found = {}
    for told in ({}, {"M7": 16_000}):
        customers = indices(flow)._replace(limits=evaluation.customers_limits(names, told))
        rules = balance_rules(DistrictSettings())
        found[len(told)] = evaluation.from_readings("D1", customers, inlet_of(flow, main), rules)
    assert (len(found[0]) > 0, found[1]) == (True, [])
