"""Days that people gave or took away, over the real database: reversible, and the sums stay whole."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import asyncpg
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.settlement.day_edits import EDITED, NO_EDITS, DayEdits, _keys, laid_over
from ingest.settlement.days import Days
from ingest.settlement.stage import SettlementStage
from metering.consumption import Flag
from metering.settings import SettlementSettings

ZONE = ZoneInfo("Asia/Shanghai")
T0 = datetime(2026, 3, 1, tzinfo=ZONE)
LITRE = 1_000
pairs = st.dictionaries(st.tuples(st.integers(1, 5), st.integers(9_000, 9_009)), st.integers(0, 10**9), max_size=12)


@pytest.fixture
async def connection(any_database_url: str) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(any_database_url)
    yield connection
    await connection.close()


async def settled(connection: Any) -> list[tuple[int, int, str, bool]]:
    while await SettlementStage(connection, SettlementSettings(), ZONE).settle_batch():
        pass
    rows = await connection.fetch("SELECT * FROM settled_days ORDER BY day")
    for row in rows:
        assert row["end_index_ml"] - row["start_index_ml"] == row["consumption_ml"] + row["excluded_ml"]
    return [
        (row["consumption_ml"] // LITRE, row["excluded_ml"] // LITRE, row["quality"], "edited" in row["reasons"])
        for row in rows
    ]


async def edit(connection: Any, day: date, volume_ml: int | None) -> int:
    begins_at = datetime(day.year, day.month, day.day, tzinfo=ZONE)
    return await connection.fetchval(
        "INSERT INTO day_edits (meter_id, day, begins_at, volume_ml, reason, made_by) "
        "VALUES (1, $1, $2, $3, 'seen', 'li') RETURNING edit_id",
        day, begins_at, volume_ml,
    )  # fmt: skip


async def test_a_day_is_given_voided_and_taken_back(connection: Any) -> None:
    await connection.execute("INSERT INTO meters (serial) VALUES ('S1')")
    rows = [(T0 + timedelta(hours=hour), (1_000 + 10 * hour) * LITRE) for hour in range(24 * 4)]
    await connection.executemany("INSERT INTO readings VALUES (1, $1, 0, $2)", rows)
    await connection.execute(
        "INSERT INTO touched_spans (meter_id, from_ts, to_ts) VALUES (1, $1, $2)", rows[0][0], rows[-1][0]
    )
    measured = [(240, 0, "measured", False)] * 3 + [(230, 0, "measured", False)]
    assert await settled(connection) == measured
    first = await edit(connection, date(2026, 3, 2), 120 * LITRE)
    await edit(connection, date(2026, 3, 3), None)
    edited = [measured[0], (120, 120, "edited", True), (0, 240, "edited", True), measured[3]]
    assert await settled(connection) == edited
    await connection.execute("INSERT INTO readings VALUES (1, $1, 0, $2)", rows[-1][0] + timedelta(hours=1), 1_960_000)
    await connection.execute("INSERT INTO touched_spans (meter_id, from_ts, to_ts) VALUES (1, $1, $1)", rows[40][0])
    assert (await settled(connection))[:3] == edited[:3]  # whatever comes later
    await connection.execute("UPDATE day_edits SET withdrawn_at = now() WHERE edit_id = $1", first)
    assert (await settled(connection))[1] == measured[1]


@given(pairs, pairs)
def test_exactly_the_edited_days_change(days: dict[tuple[int, int], int], edits: dict[tuple[int, int], int]) -> None:
    rows = sorted(days.items())
    meter, day, volume = np.array([(*key, ml) for key, ml in rows], np.int64).reshape(-1, 3).T
    zeros = np.zeros(len(rows), np.int64)
    before = Days(meter, day, zeros, zeros, volume, zeros, zeros, zeros == 0, zeros)
    said = sorted(edits.items())
    keys = _keys(np.array([key[0] for key, _ in said], np.int64), np.array([key[1] for key, _ in said], np.int64))
    after = laid_over(before, DayEdits(keys, np.array([ml for _, ml in said], np.int64)))
    assert after.consumption_ml.tolist() == [edits.get(key, ml) for key, ml in rows]
    assert after.quality.tolist() == [EDITED if key in edits else 0 for key, _ in rows]
    assert after.flags.tolist() == [Flag.EDITED if key in edits else 0 for key, _ in rows]
    assert laid_over(before, NO_EDITS) is before
