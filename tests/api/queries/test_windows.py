"""Windows are without gaps and overlaps, and the first is near."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from api.queries.windows import BEGINNING, END, FIRST, after, before

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
EARLIEST, LATEST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)


@pytest.mark.parametrize("days", [1, 16, 17, 400, 4_000])
def test_they_cover_what_is_reached_once(days: int) -> None:
    reach = timedelta(days)
    later, earlier = list(after(NOON, reach)), list(before(NOON, reach))
    assert (later[0][0], later[-1][1]) == (NOON, NOON + reach)
    assert (earlier[-1][0], earlier[0][1]) == (NOON - reach, NOON)
    assert all(one[1] == following[0] for one, following in pairwise(later))
    assert all(one[0] == following[1] for one, following in pairwise(earlier))
    assert later[0][1] - later[0][0] == earlier[0][1] - earlier[0][0] == min(FIRST, reach)


def test_they_are_few() -> None:
    assert len(list(before(NOON, NOON - BEGINNING))) == 4


@pytest.mark.parametrize("instant", [EARLIEST, BEGINNING, END, LATEST])
def test_no_instant_is_too_far(instant: datetime) -> None:
    for window in (*after(instant, timedelta(400)), *before(instant, timedelta(400))):
        assert BEGINNING - timedelta(400) <= window[0] < window[1] <= END


def test_nothing_is_reached_by_nothing() -> None:
    assert not list(after(NOON, timedelta(0)))
    assert not list(before(NOON, timedelta(0)))
