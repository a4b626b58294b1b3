"""Against a search through all readings: what is found beside a stretch, however far it lies."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import asyncpg
import numpy as np
import pytest

from ingest import columns
from ingest.settlement import neighbours
from ingest.settlement.neighbours import Neighbours
from metering.consumption import MAX_SPREAD_S

ZONE = ZoneInfo("Asia/Shanghai")
DAY_S = 86_400
T0 = 1_700_000_000
GAPS_D = [1, 1, 5, 15, 16, 17, 100, 128, 130, 399, 400, 420]


@pytest.fixture
async def connection(any_database_url: str) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(any_database_url)
    yield connection
    await connection.close()


async def store(connection: Any, meter_id: int, times: list[int]) -> None:
    await connection.execute(
        "INSERT INTO readings SELECT $1, to_timestamp(ts_s), 0, 0 FROM unnest($2::bigint[]) AS ts_s", meter_id, times
    )


async def settle(connection: Any, meter_id: int, days: set[date]) -> None:
    await connection.execute(
        "INSERT INTO settled_days (meter_id, day, start_index_ml, end_index_ml, consumption_ml, quality, complete, "
        "readings) SELECT $1, day, 0, 0, 0, 'measured', true, 1 FROM unnest($2::date[]) AS day",
        meter_id, sorted(days),
    )  # fmt: skip


def outermost(times: list[int], at_s: int, count: int, sign: int) -> tuple[int, bool]:
    """By going from one to the next, and whether a silence ended that: then finding more is no fault."""
    beyond = sorted(sign * (ts_s - at_s) for ts_s in times if sign * (ts_s - at_s) > 0)[:count]
    path = [0]
    for here, there in pairwise([0, *beyond]):
        if there - here > MAX_SPREAD_S:
            return at_s + sign * path[-1], True
        path.append(there)
    return at_s + sign * path[-1], False


@pytest.mark.parametrize("later", [False, True])
@pytest.mark.parametrize("most", [neighbours.MAX_TIMES, 3])
async def test_it_finds_what_a_search_through_everything_finds(
    connection: Any, later: bool, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(neighbours, "MAX_TIMES", most)
    rng = random.Random(3)
    times: dict[int, list[int]] = {}
    for meter_id in range(1, 9):
        ts_s, times[meter_id] = T0, []
        for _ in range(9):
            ts_s += rng.choice(GAPS_D) * DAY_S
            times[meter_id].append(ts_s)
        await store(connection, meter_id, times[meter_id])
    asked = [(meter_id, rng.choice(of)) for meter_id, of in times.items() for _ in range(2)] + [(99, T0)]
    meter_id, at_s = (np.array(column, np.int64) for column in zip(*asked, strict=True))
    for count in (1, 4, 7):
        found = await Neighbours(connection, later).outermost(meter_id, at_s, count)
        for (meter, at), edge_s in zip(asked, found.tolist(), strict=True):
            expected_s, ended = outermost(times.get(meter, []), at, count, 1 if later else -1)
            assert edge_s == expected_s or (ended and abs(edge_s - at) > abs(expected_s - at))


@pytest.mark.parametrize("later", [False, True])
async def test_far_away_is_looked_only_for_meters_with_settled_days(connection: Any, later: bool) -> None:
    sign = 1 if later else -1
    far_s, near_s = T0 + sign * 100 * DAY_S, T0 + sign * 10 * DAY_S
    far_day = datetime.fromtimestamp(far_s, UTC).date()
    for meter_id, ts_s in ((1, near_s), (2, far_s), (3, far_s), (4, far_s)):
        await store(connection, meter_id, [T0, ts_s])
    await settle(connection, 2, {far_day})
    await settle(connection, 4, {far_day - sign * timedelta(days=200)})  # on the other side
    meter_id = np.array([1, 2, 3, 3, 4, 5])
    several = np.array([False, False, False, True, False, True])
    found = await Neighbours(connection, later).exist(meter_id, np.full(6, T0), several, ZONE)
    assert found.tolist() == [True, True, False, True, False, False]


async def test_columns_are_64_bit_numbers(connection: Any) -> None:
    query = (
        "SELECT string_agg(timestamptz_send(ts), ''), NULL::bytea FROM (VALUES (to_timestamp($1::bigint))) AS t (ts)"
    )
    us, nothing = await columns.columns(connection, query, T0)
    assert columns.unix_s(us).tolist() == [T0]
    assert nothing.tolist() == []
