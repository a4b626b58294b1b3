"""Plausible water, and the same water whenever one looks."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from simulators.households import EPOCH_S, LEAK_PERIOD_S, Leak, LeakKind, household
from simulators.local_time import DAY_S, HOUR_S
from simulators.meter import Wire
from simulators.radio import radio
from simulators.synthetic import DAILY_L, index_l, plan
from simulators.town import history
from simulators.town_plan import imei, luhn_digit, make_meters

instants = st.integers(EPOCH_S, EPOCH_S + 5 * 365 * DAY_S)


@given(st.integers(0, 50), instants, st.integers(0, 30 * DAY_S))
def test_an_index_never_falls(number, ts_s, later_s):
    home = household(1, number)
    assert home.index_l(ts_s) <= home.index_l(ts_s + later_s)


def test_a_town_uses_a_plausible_amount_and_sleeps_at_night():
    homes = [household(7, number, leak_share=0) for number in range(60)]
    start = EPOCH_S + 50 * 7 * DAY_S
    daily = sum(home.index_l(start + 28 * DAY_S) - home.index_l(start) for home in homes) / 28 / len(homes)
    assert 150 < daily < 700
    night = sum(home.index_l(start + day * DAY_S + 5 * HOUR_S) - home.index_l(start + day * DAY_S + 2 * HOUR_S)
                for home in homes for day in range(28))  # fmt: skip
    assert night == 0


def test_a_household_without_a_leak_has_an_hour_without_water_every_day():
    homes = [household(3, number, leak_share=0) for number in range(20)]
    for home in homes:
        for hour in range(24, 21 * 24, 24):
            end = EPOCH_S + hour * HOUR_S
            assert any(home.index_l(end - h * HOUR_S) == home.index_l(end - (h + 1) * HOUR_S) for h in range(24))


@given(st.sampled_from(list(LeakKind)), st.integers(1, 1500), st.integers(0, LEAK_PERIOD_S - 1), instants)
def test_a_leak_flows_exactly_while_it_is_active(kind, rate, phase_s, ts_s):
    leak = Leak(kind, rate, phase_s, 10 * DAY_S)
    flowed = leak.litres_until(ts_s + HOUR_S) - leak.litres_until(ts_s)
    if leak.active(ts_s) and leak.active(ts_s + HOUR_S - 1):
        assert abs(flowed - rate) <= 1
    if not leak.active(ts_s) and not leak.active(ts_s + HOUR_S):
        assert flowed == 0


def test_a_town_has_every_kind_of_meter_and_none_twice():
    meters = make_meters(1, 300)
    assert {meter.wire for meter in meters} == set(Wire)
    assert len({meter.name for meter in meters} | {meter.label.serial for meter in meters}) >= 300
    assert all(count == 1 for count in Counter(meter.label.serial for meter in meters).values())
    assert any(meter.silent for meter in meters)
    assert 5 <= sum(meter.household.leak is not None for meter in meters) <= 60
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
    assert [due for due, _ in dues] == sorted(due for due, _ in dues)
    assert all(now_s - 5 * DAY_S <= due <= now_s for due, _ in dues)
    counts = Counter(meter.number for _, meter in dues)
    assert {counts[meter.number] for meter in meters if not meter.silent} == {5}


def test_a_load_plan_says_different_things_in_each_report_and_the_same_when_asked_again():
    planned = plan(rate=100, duration_s=7, meters=30, readings=24, now_s=1_790_000_000.5, offset_s=17)
    assert planned.reports == 700
    assert planned.instants(1)[0] - planned.instants(0)[-1] == HOUR_S
    assert planned.instants(planned.reports // 30)[-1] < 1_790_000_000
    assert index_l(4, planned.first_s + DAY_S) - index_l(4, planned.first_s) == DAILY_L
