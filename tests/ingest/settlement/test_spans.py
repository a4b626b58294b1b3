"""Spans as arrays: merged, sliced, and what of the readings around them must be known."""

from datetime import datetime
from zoneinfo import ZoneInfo

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.settlement import spans
from ingest.settlement.spans import Spans
from metering.consumption import HOUR_S, ordered

ZONE = ZoneInfo("Asia/Shanghai")
T0 = int(datetime(2026, 3, 1, tzinfo=ZONE).timestamp())
DAY_S = 86_400


def spans_of(*rows):
    return Spans(*np.array(rows, np.int64).reshape(-1, 3).T)


def test_near_spans_are_settled_as_one():
    found = spans.merged(spans_of((2, 0, 10), (1, 500_000, 500_001), (1, 0, 100), (1, 50, 200)))
    assert [column.tolist() for column in found] == [[1, 1, 2], [0, 500_000, 0], [200, 500_001, 10]]


def test_a_span_inside_another_does_not_shorten_it():
    found = spans.merged(spans_of((1, 0, 900_000), (1, 10, 20), (1, 1_000_000, 1_000_001)))
    assert [column.tolist() for column in found] == [[1], [0], [1_000_001]]


@given(st.lists(st.tuples(st.integers(1, 3), st.integers(0, 90), st.integers(0, 20)), min_size=1, max_size=30))
@settings(deadline=None)
def test_merging_is_as_one_by_one(rows):
    rows = [(meter, from_d * DAY_S, (from_d + length_d) * DAY_S) for meter, from_d, length_d in rows]
    expected: list[list[int]] = []
    for meter, from_s, to_s in sorted(rows):
        if expected and expected[-1][0] == meter and from_s <= expected[-1][2] + spans.NEAR_S:
            expected[-1][2] = max(expected[-1][2], to_s)
        else:
            expected.append([meter, from_s, to_s])
    assert np.stack(spans.merged(spans_of(*rows)), axis=1).tolist() == expected


def test_long_histories_are_sliced():
    year = 365 * DAY_S
    long = Spans(np.arange(300), np.zeros(300, np.int64), np.full(300, year))
    slices = list(spans.sliced(long))
    assert np.concatenate(slices).tolist() == list(range(300))
    assert len(slices) > 1
    assert max(len(part) for part in slices) * 366 <= spans.MAX_METER_DAYS + 366
    assert list(spans.sliced(spans.joined([]))) == []


def reached(of, stretch, instants_s):
    readings = ordered(np.array(instants_s, np.int64), np.zeros(len(instants_s), np.int64))
    found = spans.reached(of, stretch, readings, ZONE)
    return found.changed.from_s[0], found.changed.to_s[0], bool(found.early_enough[0]), bool(found.late_enough[0])


def test_what_is_read_for_hourly_readings_is_enough_for_them():
    of = spans_of((1, T0, T0 + 23 * HOUR_S))
    stretch = spans.window(of, ZONE, HOUR_S)
    hourly = range(stretch.from_s[0], stretch.to_s[0] + 1, HOUR_S)
    assert reached(of, stretch, hourly) == (T0 - 4 * HOUR_S, T0 + 27 * HOUR_S, True, True)
    some_missing = [ts_s for ts_s in hourly if ts_s not in (T0 - HOUR_S, T0 - 2 * HOUR_S)]
    assert reached(of, stretch, some_missing) == (T0 - 6 * HOUR_S, T0 + 27 * HOUR_S, True, True)


def test_it_is_not_enough_where_readings_are_few_or_too_many_are_missing():
    of = spans_of((1, T0, T0 + 23 * HOUR_S))
    stretch = spans.window(of, ZONE, HOUR_S)
    hourly = range(stretch.from_s[0], stretch.to_s[0] + 1, HOUR_S)
    assert reached(of, stretch, []) == (T0, T0 + 23 * HOUR_S, False, False)
    assert reached(of, stretch, [ts_s for ts_s in hourly if ts_s >= T0])[2:] == (False, True)
    assert reached(of, stretch, [ts_s for ts_s in hourly if ts_s <= T0 + 23 * HOUR_S])[2:] == (True, False)
    a_day_lost = [ts_s for ts_s in hourly if not T0 - DAY_S < ts_s < T0]
    assert not reached(of, stretch, a_day_lost)[2]
    wider = spans.window(of, ZONE, DAY_S)
    a_day_lost = [ts_s for ts_s in range(wider.from_s[0], wider.to_s[0], HOUR_S) if not T0 - DAY_S < ts_s < T0]
    assert reached(of, wider, a_day_lost)[2:] == (True, True)
