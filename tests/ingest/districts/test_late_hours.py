"""Which hours of the districts late readings touch."""

import numpy as np

from ingest.districts.late_hours import BESIDE_S, FAR_H, touched
from ingest.districts.zone_hours import LAGS_H
from metering.consumption import HOUR_S

NOW_H = 500_000
NEWEST_H = NOW_H - LAGS_H[-1]
BESIDE_H = BESIDE_S // HOUR_S


def hours_of(*spans):
    from_h, to_h = np.array(spans, np.int64).T
    return (touched(from_h * HOUR_S, to_h * HOUR_S, NOW_H * HOUR_S + 59) // HOUR_S).tolist()


def test_recent_hours_are_looked_at_by_their_age():
    assert hours_of((NOW_H - 30, NOW_H)) == []
    assert hours_of((NEWEST_H - 1, NOW_H)) == list(range(NEWEST_H - 1 - BESIDE_H, NEWEST_H + 1))


def test_spans_of_many_meters_are_hours_once():
    old = NEWEST_H - 100
    assert hours_of((old, old + 1), (old, old), (NOW_H, NOW_H)) == list(range(old - BESIDE_H, old + 2 + BESIDE_H))
    assert hours_of((old, old), (old + 20, old + 20)) == [
        *range(old - BESIDE_H, old + BESIDE_H + 1), *range(old + 20 - BESIDE_H, old + 21 + BESIDE_H)
    ]  # fmt: skip


def test_a_span_of_years_is_bounded():
    assert hours_of((0, NOW_H)) == list(range(NEWEST_H - FAR_H, NEWEST_H + 1))
    assert hours_of((0, 10)) == []
