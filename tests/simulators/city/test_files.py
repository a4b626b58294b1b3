"""The same city whatever is asked of it besides, and several districts that add up."""

import csv

import numpy as np

from simulators.city.district import WHOLE, district_name, inflow, main_events, night_flow_l_h
from simulators.city.files import CityFiles, Written
from simulators.city.plan import CityOptions, CityPlan, meter_id
from simulators.city.registers import by_district, registers
from simulators.city.reporting import arrived, by_its_clock, reports
from simulators.local_time import DAY_S, HOUR_S
from simulators.outages import outages
from simulators.water.calendar import EPOCH_S, WEEK_S
from simulators.water.users import BLOCK

START_S = EPOCH_S + 60 * WEEK_S + 2 * DAY_S
"""A Wednesday: weeks are cut at both ends."""


def write(directory, meters=300, days=12, **options):
    options = {"seed": 4, "faults": 0.5, **options}
    written = CityFiles(CityOptions(meters, days, START_S, **options), directory, lambda _: None).write(True)
    assert isinstance(written, Written)
    return written


def rows(path):
    with path.open() as file:
        return list(csv.DictReader(file))


def test_a_meter_is_the_same_in_a_smaller_city(tmp_path):
    write(tmp_path / "large")
    write(tmp_path / "small", meters=100)
    small = rows(tmp_path / "small" / "readings.csv")
    ours = {meter_id(number) for number in range(100)}
    assert small == [row for row in rows(tmp_path / "large" / "readings.csv") if row["meter_id"] in ours]


def test_districts_add_up_to_the_whole(tmp_path):
    written = write(tmp_path, districts=3)
    flows = rows(tmp_path / "inflow.csv")
    index = [float(row["inlet_index_m3"]) for row in rows(tmp_path / "dma_inlet.csv")]
    by_name = sum(float(row[district_name(number)]) for row in flows[1:] for number in range(3)) * 3.6
    assert abs(by_name - (index[-1] - index[0])) < 0.01 * by_name
    assert len(flows) == 12 * 24
    reported = rows(tmp_path / "reports.csv")
    assert len(reported) == written.reports
    assert all(row["due"] <= row["arrived"] for row in reported)


def test_a_readings_gap_is_a_report_that_never_came():
    plan = CityPlan(CityOptions(BLOCK, 30, START_S, seed=9, faults=0))
    fleet = plan.fleet(0)
    of = reports(plan, 0, fleet)
    labels = START_S + np.arange(30 * 24) * HOUR_S
    there = arrived(plan, 0, fleet, of, labels)
    assert 0.97 < there.mean() < 1
    meter, day = np.argwhere(of.arrives_s[:, 2:-2] < 0)[0] + (0, 2)
    due_s = of.due_s[meter, day]
    assert not there[meter, (labels > due_s - DAY_S) & (labels <= due_s)].any()


def test_an_outage_delays_what_meters_keep():
    plan = CityPlan(CityOptions(BLOCK, 60, START_S, seed=9, faults=0, districts=2))
    fleet, delayed = plan.fleet(0), 0
    of = reports(plan, 0, fleet)
    for cell in np.unique(fleet.cell).tolist():
        for begin_s, end_s in outages(9, cell, START_S, START_S + 60 * DAY_S):
            caught = (fleet.cell == cell)[:, None] & (of.due_s >= begin_s) & (of.due_s < end_s)
            came = caught & (of.arrives_s >= 0)
            assert (of.arrives_s[came] >= end_s).all()
            assert (of.arrives_s[caught & ~fleet.keeps_backlog[:, None]] == -1).all()
            delayed += int(came.sum())
    assert delayed > 0


def test_a_slow_clock_shows_a_later_index():
    plan = CityPlan(CityOptions(BLOCK, 7, START_S, seed=9, faults=0))
    fleet, of = plan.fleet(0), registers(plan, 0, START_S, 24)
    shown = by_its_clock(fleet, START_S, START_S + np.arange(24) * HOUR_S, of.register_ml)
    slow = fleet.slow_s_a_day > 0
    assert slow.any()
    assert (shown[~slow] == of.register_ml[~slow, :-1]).all()
    assert (shown[slow] >= of.register_ml[slow, :-1]).all()
    assert (shown[slow] > of.register_ml[slow, :-1]).any()


def test_what_districts_take_is_what_users_take():
    plan = CityPlan(CityOptions(BLOCK, 7, START_S, seed=9, districts=3))
    of = registers(plan, 0, START_S, 48)
    taken = by_district(plan.fleet(0).district, of.taken_ml, 3)
    assert taken.shape == (3, 48)
    assert abs(taken.sum() - of.taken_ml.sum() / 1000) < 1


def test_leaks_of_mains_are_told_for_their_district_and_for_the_whole():
    options = CityOptions(1, 90, START_S, districts=2)
    used = np.full(90 * 24, 1_000.0)
    inflows = [inflow(options, number, used) for number in range(2)]
    assert all(len(one.leaks) == 3 for one in inflows)
    assert all(one.flow_l_h.min() >= 1_000 and night_flow_l_h(one.flow_l_h) > 1_050 for one in inflows)
    events = main_events(options, inflows)
    assert {event["dma"] for event in events} == {"D01", "D02", WHOLE}
    assert all(("frac_mean" in event) == (event["dma"] == WHOLE) for event in events)
    for one in inflows:
        leaking = sum(leak.flow_l_h for leak in one.leaks) > 0
        assert one.flow_l_h[leaking].mean() > one.flow_l_h[~leaking].mean() + 50
