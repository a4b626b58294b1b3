"""Plausible water, and the same water whenever one looks."""

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from simulators.households import household
from simulators.local_time import DAY_S, HOUR_S
from simulators.meter import Wire
from simulators.radio import radio
from simulators.synthetic import DAILY_L, index_l, plan
from simulators.town_history import history
from simulators.town_plan import imei, luhn_digit, make_meters
from simulators.water.calendar import EPOCH_S
from simulators.water.faults import FaultKind

instants = st.integers(EPOCH_S, EPOCH_S + 60 * DAY_S)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 50), instants, st.integers(0, 30 * DAY_S))
def test_an_index_never_falls_unless_water_flows_back(number, ts_s, later_s):
    home = household(1, number, fault_share=1)
    if home.fault is None or home.fault.kind is not FaultKind.REVERSE:
        assert home.index_l(ts_s) <= home.index_l(ts_s + later_s)


def test_a_fault_is_on_the_register_exactly_while_it_lasts():
    for number in range(40):
        fault = (home := household(1, number, fault_share=1)).fault
        begin, end = next(fault.spells(EPOCH_S + 60 * DAY_S, EPOCH_S + 120 * DAY_S))
        own = (home.water_ml(end) - home.water_ml(begin)) // 1000
        flowed = home.index_l(end) - home.index_l(begin)
        if fault.kind is FaultKind.STUCK:
            assert flowed == 0
        elif fault.kind is FaultKind.UNDER:
            assert abs(flowed - own * fault.counted) <= 2
        else:
            assert (flowed > own) == (fault.rate_l_h > 0)
        quiet_s = min(HOUR_S, begin + fault.every_s - end)
        own = (home.water_ml(end + quiet_s) - home.water_ml(end)) // 1000
        assert abs(home.index_l(end + quiet_s) - home.index_l(end) - own) <= 1


def test_a_town_has_every_kind_of_meter_and_none_twice():
    meters = make_meters(1, 300)
    assert {meter.wire for meter in meters} == set(Wire)
    assert len({meter.name for meter in meters} | {meter.label.serial for meter in meters}) >= 300
    assert all(count == 1 for count in Counter(meter.label.serial for meter in meters).values())
    assert any(meter.silent for meter in meters)
    assert 10 <= sum(meter.household.fault is not None for meter in meters) <= 60
    assert make_meters(1, 10)[3] == meters[3]


def test_imeis_have_their_check_digit():
    assert luhn_digit("49015420323751") == "8"  # the example of 3GPP TS 23.003
    assert len(imei(1, 299)) == 15


def test_a_report_is_the_same_whenever_it_is_made():
    meter, other = make_meters(5, 3)[2], make_meters(5, 3)[2]
    assert meter.daily(1_790_000_000) == other.daily(1_790_000_000)
    assert meter.radio == radio(5, 2)


def test_history_is_in_order_and_a_report_a_day():
    meters = make_meters(2, 40)
    now_s = 1_790_000_000
    dues = list(history(meters, 5, now_s))
    assert [one.arrives_s for one in dues] == sorted(one.arrives_s for one in dues)
    assert all(now_s - 5 * DAY_S <= one.due_s <= one.arrives_s <= now_s for one in dues)
    counts = Counter(one.meter.number for one in dues)
    assert {counts[meter.number] for meter in meters if not meter.silent} <= {4, 5}  # a cell may be down now


def test_a_load_plan_says_different_things_in_each_report_and_the_same_when_asked_again():
    planned = plan(rate=100, duration_s=7, meters=30, readings=24, now_s=1_790_000_000.5, offset_s=17)
    assert planned.reports == 700
    assert planned.instants(1)[0] - planned.instants(0)[-1] == HOUR_S
    assert planned.instants(planned.reports // 30)[-1] < 1_790_000_000
    assert index_l(4, planned.first_s + DAY_S) - index_l(4, planned.first_s) == DAILY_L
