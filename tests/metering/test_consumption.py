"""Consumption: what counts as water, and that any division of time adds up to the same."""

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metering import consumption as c

SHANGHAI = ZoneInfo("Asia/Shanghai")
LITRE = 1_000
T0 = int(datetime(2026, 3, 1, tzinfo=SHANGHAI).timestamp())


def curve(indices_l, step_s=3600, t0=T0, limits=None, ts=None):
    ts = [t0 + step_s * i for i in range(len(indices_l))] if ts is None else ts
    return c.validated(
        np.array(ts, np.int64), np.array(indices_l, np.int64) * LITRE, c.Limits.of() if limits is None else limits
    )


def total(cv):
    return int(cv.water_ml[-1]) // LITRE


def one(cv, start_s, end_s):
    return c.between(cv, cv.segment[:1], np.array([start_s]), np.array([end_s]))


def test_plain_readings_add_up():
    cv = curve([100, 110, 110, 130])
    assert total(cv) == 30
    assert not cv.flags.any()


def test_a_single_high_reading_is_bridged_over():
    cv = curve([100, 110, 90_000, 130, 140])
    assert total(cv) == 40
    assert c.reasons(int(np.bitwise_or.reduce(cv.flags))) == ["gap", "spike"]
    assert one(cv, T0, T0 + 5 * 3600).readings[0] == 5


def test_a_single_low_reading_is_bridged_over():
    assert total(curve([100, 110, 3, 130, 140])) == 40


def test_a_slightly_late_reading_is_bridged_over():
    assert total(curve([100, 110, 109, 115])) == 15


def test_a_lasting_step_down_is_a_new_baseline():
    cv = curve([100, 110, 5, 6, 8])
    assert total(cv) == 13
    span = one(cv, T0, T0 + 4 * 3600)
    assert span.excluded_ml[0] == -105 * LITRE
    assert span.quality(0) == "estimated"
    assert c.reasons(int(span.flags[0])) == ["negative_step", "reset"]


def test_a_lasting_step_up_is_a_new_baseline():
    cv = curve([100, 110, 50_000, 50_001])
    assert total(cv) == 11
    assert one(cv, T0, T0 + 3 * 3600).excluded_ml[0] == 49_890 * LITRE


def test_flow_up_to_q4_is_water():
    assert total(curve([0, 3_125])) == 3_125
    assert total(curve([0, 3_127])) == 0


def test_roll_over_is_recognised():
    cv = curve([99_990, 99_998, 7, 10], limits=c.Limits.of(register_max_ml=100_000 * LITRE))
    assert total(cv) == 20
    span = one(cv, T0, T0 + 3 * 3600)
    assert span.consumption_ml[0] == 20 * LITRE
    assert span.excluded_ml[0] == -100_000 * LITRE
    assert span.quality(0) == "measured"


def test_days_are_those_of_the_zone():
    cv = curve(list(range(49)))
    _, numbers, days = c.days(cv, SHANGHAI)
    assert [c.day_of(SHANGHAI, int(n)) for n in numbers] == [date(2026, 3, 1), date(2026, 3, 2), date(2026, 3, 3)]
    assert days.consumption_ml.tolist() == [24_000, 24_000, 0]
    assert days.complete.tolist() == [True, True, False]
    assert days.readings.tolist() == [24, 24, 1]
    assert days.start_index_ml.tolist() == [0, 24_000, 48_000]


@pytest.mark.parametrize(("day", "hours"), [(date(2026, 3, 29), 23), (date(2026, 10, 25), 25)])
def test_days_of_23_and_25_hours(day, hours):
    zone = ZoneInfo("Europe/Berlin")
    t0 = int(datetime(day.year, day.month, day.day - 1, tzinfo=zone).timestamp())
    _, numbers, days = c.days(curve(list(range(80)), t0=t0), zone)
    at = [c.day_of(zone, int(n)) for n in numbers].index(day)
    assert days.consumption_ml[at] == hours * LITRE
    assert days.readings[at] == hours


def test_a_gap_is_spread_and_flagged():
    cv = curve([0, 480], step_s=48 * 3600)
    _, _, days = c.days(cv, SHANGHAI)
    assert days.consumption_ml.tolist() == [240_000, 240_000, 0]
    assert [days.quality(i) for i in range(3)] == ["interpolated", "interpolated", "measured"]


def test_a_gap_inside_a_day_leaves_the_day_measured():
    ts = [T0, T0 + 3600, T0 + 9 * 3600, T0 + 24 * 3600]
    _, _, days = c.days(curve([0, 1, 9, 9], ts=ts), SHANGHAI)
    assert days.quality(0) == "measured"
    assert "gap" in c.reasons(int(days.flags[0]))


def test_hours_are_derived():
    cv = curve([0, 6, 12], ts=[T0 - 1800, T0 + 1800, T0 + 5400])
    hours = c.hours(cv, SHANGHAI, T0, T0 + 7200)
    assert hours.consumption_ml.tolist() == [6_000, 3_000]
    assert hours.complete.tolist() == [True, False]


def test_a_silence_of_years_ends_the_curve():
    cv = curve([0, 5, 900, 910], ts=[T0, T0 + 3600, T0 + 500 * 86400, T0 + 500 * 86400 + 3600])
    _, _, days = c.days(cv, SHANGHAI)
    assert days.consumption_ml.tolist() == [5_000, 10_000]


def test_two_readings_at_one_instant_count_the_lower_one():
    assert total(curve([0, 10, 9, 20], ts=[T0, T0 + 3600, T0 + 3600, T0 + 7200])) == 20


def test_nothing_comes_of_nothing():
    cv = curve([])
    assert len(c.days(cv, SHANGHAI)[0]) == 0
    assert len(c.hours(cv, SHANGHAI, T0, T0 + 7200).start_s) == 0


READINGS = st.lists(
    st.tuples(st.integers(0, 9 * 86_400), st.integers(0, 60_000)), min_size=1, max_size=60, unique_by=lambda r: r[0]
)


def from_pairs(pairs, start=T0):
    ts = np.array([start + t for t, _ in pairs], np.int64)
    return c.validated(ts, np.array([v for _, v in pairs], np.int64) * 777, c.Limits.of(register_max_ml=50_000_000))


@given(READINGS)
@settings(max_examples=150, deadline=None)
def test_days_telescope(pairs):
    cv = from_pairs(pairs)
    _, _, days = c.days(cv, SHANGHAI)
    assert (days.consumption_ml >= 0).all()
    assert days.start_index_ml[1:].tolist() == days.end_index_ml[:-1].tolist()
    assert days.start_index_ml[0] == cv.index_ml[0]
    assert days.end_index_ml[-1] == cv.index_ml[-1]
    assert days.consumption_ml.sum() == cv.water_ml[-1]
    assert days.consumption_ml.sum() + days.excluded_ml.sum() == cv.index_ml[-1] - cv.index_ml[0]
    assert days.readings.sum() == len(pairs)


@given(READINGS, st.lists(st.integers(0, 9 * 86_400), max_size=20))
@settings(max_examples=150, deadline=None)
def test_any_split_sums_to_the_same(pairs, cuts):
    cv = from_pairs(pairs)
    bounds = np.unique(np.array([int(cv.ts_s[0]), int(cv.ts_s[-1]), *(T0 + cut for cut in cuts)], np.int64))
    parts = c.between(cv, np.zeros(len(bounds) - 1, np.int64), bounds[:-1], bounds[1:])
    whole = one(cv, bounds[0], bounds[-1])
    assert parts.consumption_ml.sum() == whole.consumption_ml[0] == cv.water_ml[-1]
    assert parts.excluded_ml.sum() == whole.excluded_ml[0]
    assert np.bitwise_or.reduce(parts.flags, initial=0) == whole.flags[0]


@given(READINGS, st.randoms())
@settings(max_examples=100, deadline=None)
def test_order_of_arrival_does_not_matter(pairs, random):
    shuffled = pairs[:]
    random.shuffle(shuffled)
    for one_way, other in zip(from_pairs(pairs), from_pairs(shuffled), strict=True):
        assert one_way.tolist() == other.tolist()


@given(st.lists(st.tuples(st.integers(0, 400), st.integers(0, 3_000)), min_size=30, max_size=60), st.data())
@settings(max_examples=150, deadline=None)
def test_a_window_with_its_margin_gives_the_whole_curve(pairs, data):
    """Small indices, so that negative steps and spikes are frequent."""
    seconds = np.cumsum([1 + t for t, _ in pairs]) * 60
    pairs = [(int(s), v) for s, (_, v) in zip(seconds, pairs, strict=True)]
    whole = from_pairs(pairs)
    low = data.draw(st.integers(c.MARGIN, 20))
    high = data.draw(st.integers(low, len(pairs) - c.MARGIN - 1))
    window = from_pairs(pairs[low - c.MARGIN : high + 1 + c.MARGIN])
    start, end = T0 + pairs[low][0], T0 + pairs[high][0]
    for field, a, b in zip(c.Intervals._fields, one(whole, start, end), one(window, start, end), strict=True):
        assert a.tolist() == b.tolist(), field


@given(st.lists(st.tuples(st.integers(0, 400), st.integers(0, 3_000)), min_size=20, max_size=50), st.data())
@settings(max_examples=150, deadline=None)
def test_a_new_reading_changes_nothing_beyond_its_reach(pairs, data):
    seconds = np.cumsum([1 + t for t, _ in pairs]) * 60
    pairs = [(int(s), v) for s, (_, v) in zip(seconds, pairs, strict=True)]
    new = data.draw(st.integers(0, len(pairs) - 1))
    before, after = from_pairs(pairs[:new] + pairs[new + 1 :]), from_pairs(pairs)
    spans = []
    if new - c.REACH > 0:
        spans.append((pairs[0][0], pairs[new - c.REACH][0]))
    if new + c.REACH < len(pairs) - 1:
        spans.append((pairs[new + c.REACH][0], pairs[-1][0]))
    for start, end in spans:
        for cut in range(start, end, max(60, (end - start) // 7)):
            for field, a, b in zip(
                c.Intervals._fields, one(before, T0 + cut, T0 + end), one(after, T0 + cut, T0 + end), strict=True
            ):
                assert a.tolist() == b.tolist(), field


def test_many_meters_at_once_are_as_each_alone():
    rng = np.random.default_rng(1)
    ts, index, meter, alone = [], [], [], []
    for m in range(5):
        n = int(rng.integers(1, 60))
        t = T0 + np.sort(rng.choice(86_400 * 4, n, replace=False))
        v = np.cumsum(rng.integers(-50, 400, n)) * LITRE + 10**7
        ts.append(t), index.append(v), meter.append(np.full(n, m))
        alone.append(c.days(c.validated(t, v, c.Limits.of()), SHANGHAI)[2])
    limits = c.Limits(*(np.repeat(column, 5) for column in c.Limits.of()))
    curve_ = c.validated(np.concatenate(ts), np.concatenate(index), limits, np.concatenate(meter))
    _, _, together = c.days(curve_, SHANGHAI)
    for at, field in enumerate(c.Intervals._fields):
        assert together[at].tolist() == np.concatenate([days[at] for days in alone]).tolist(), field


def test_instants_are_utc():
    assert c.midnights(SHANGHAI)[1][0] == int(datetime(1999, 12, 31, 16, tzinfo=UTC).timestamp())
