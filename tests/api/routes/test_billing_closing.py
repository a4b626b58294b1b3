"""Closing a billing period, and the ways into the tables it writes."""

from __future__ import annotations

from datetime import date

import asyncpg
import httpx
import pytest

from tests.api.conftest import Seed
from tests.api.routes.test_billing import API, MARCH, PATH, closed, lines


@pytest.fixture(autouse=True)
def _water(seeded: Seed) -> None:
    """Every test here runs over the seeded database."""


@pytest.mark.parametrize(
    ("missing", "indices"), [("2026-03-08", ("1024000", "1048000")), ("2026-03-09", ("1000000", "1024000"))]
)
async def test_where_a_day_at_an_end_is_missing_the_nearest_tells_the_index(
    engineer: httpx.AsyncClient, connection: asyncpg.Connection, missing: str, indices: tuple[str, str]
) -> None:
    await connection.execute("DELETE FROM settled_days WHERE day = $1", date.fromisoformat(missing))
    await closed(engineer)
    (line,) = await lines(engineer)
    assert (line["start_index_ml"], line["end_index_ml"]) == indices
    assert (line["complete"], line["missing_days"], line["billed_ml"]) == ("false", "1", "24000")


async def test_who_closes_what_another_is_closing_is_told_at_once(
    engineer: httpx.AsyncClient, connection: asyncpg.Connection
) -> None:
    """A city takes a minute; waiting for it would take a connection of the few that write."""
    await engineer.post(API, json=MARCH)
    async with connection.transaction():
        await connection.execute("SELECT FROM billing_periods FOR NO KEY UPDATE")
        for path, body in ((f"{PATH}/close", {}), (f"{PATH}/drop", {"reason": "typo"})):
            answer = await engineer.post(path, json=body)
            assert (answer.status_code, "just now" in answer.text) == (409, True)
    assert (await engineer.post(f"{PATH}/close")).status_code == 200


async def test_pages_of_lines_and_of_the_ledger_are_looked_up(connection: asyncpg.Connection) -> None:
    """Tables of ten years and a city are asked for one period, in pages."""
    await connection.execute("SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_sort = off")
    for query, index in (
        ("billing_entries WHERE period_id = 1 AND meter_id = ANY ('{1,2}')", "(period_id, meter_id)"),
        ("billing_corrections WHERE period_id = 1 AND correction_id > 7 ORDER BY correction_id", "(period_id, corr"),
        ("billing_corrections WHERE carried_to = 1 AND correction_id > 7 ORDER BY correction_id", "(carried_to, corr"),
    ):
        (plan,) = [row[0] for row in await connection.fetch(f"EXPLAIN SELECT * FROM {query}") if " using " in row[0]]
        name = plan.split(" using ")[1].split()[0]
        assert index in await connection.fetchval("SELECT indexdef FROM pg_indexes WHERE indexname = $1", name)
