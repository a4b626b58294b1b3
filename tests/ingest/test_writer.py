from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import numpy as np
import pytest

from ingest import writer
from ingest.readings import tabulate
from tests.ingest.test_readings import placed

T0, HOUR_S, DAY_S = 1_790_000_000, 3_600, 86_400


@pytest.fixture
async def connection(any_database_url: str) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(any_database_url)
    yield connection
    await connection.close()


async def spans(connection: Any) -> list[tuple[int, int, int]]:
    rows = await connection.fetch(
        "DELETE FROM touched_spans RETURNING meter_id, extract(epoch FROM from_ts)::bigint - $1::bigint AS low, "
        "extract(epoch FROM to_ts)::bigint - $1::bigint AS high",
        T0,
    )
    return sorted((row["meter_id"], row["low"], row["high"]) for row in rows)


async def test_a_late_reading_beside_todays_touches_no_day_between(connection: Any) -> None:
    times = {
        1: [-30 * DAY_S, 0, HOUR_S, HOUR_S + writer.SPAN_GAP_S],  # late; today; as near as settlement makes one
        2: [5 * DAY_S],  # another meter's gap begins anew
        3: [0, writer.SPAN_GAP_S + 1],
    }
    table = tabulate([placed([(meter, T0 + at_s, 7) for at_s in at]) for meter, at in times.items()])
    everything = np.ones(len(table), np.bool_)
    expected = [
        (1, -30 * DAY_S, -30 * DAY_S), (1, 0, HOUR_S + writer.SPAN_GAP_S), (2, 5 * DAY_S, 5 * DAY_S),
        (3, 0, 0), (3, writer.SPAN_GAP_S + 1, writer.SPAN_GAP_S + 1),
    ]  # fmt: skip
    await writer.insert_spans(connection, table, everything, copy=False)
    assert await spans(connection) == expected
    await writer.insert_spans(connection, table, ~everything, copy=False)
    assert await spans(connection) == []


async def test_spans_are_copied_as_they_are_inserted(database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    table = tabulate([placed([(1, T0, 7), (1, T0 + 9 * DAY_S, 8)])])
    await writer.insert_spans(connection, table, np.ones(2, np.bool_), copy=True)
    assert await spans(connection) == [(1, 0, 0), (1, 9 * DAY_S, 9 * DAY_S)]
    await connection.close()
