"""Closing a billing period, and the ways into the tables it writes."""

from __future__ import annotations

from datetime import date

import asyncpg
import httpx
import pytest

from metering.billing import CLOSING_LOCK
from tests.api.conftest import Seed
from tests.api.routes.test_billing import API, CLOSING, MARCH, PATH, closed, lines, settle


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
        for path, body in ((f"{PATH}/close", CLOSING), (f"{PATH}/drop", {"reason": "typo"})):
            answer = await engineer.post(path, json=body)
            assert (answer.status_code, "just now" in answer.text) == (409, True)
    assert (await engineer.post(f"{PATH}/close", json=CLOSING)).status_code == 200


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


async def test_who_changes_an_installation_while_a_period_is_closed_need_not_wait(
    engineer: httpx.AsyncClient, connection: asyncpg.Connection, database_url: str
) -> None:
    """He commits while what closing sees is fixed; settlement finds it afterwards."""
    await engineer.post(API, json=MARCH)
    other = await asyncpg.connect(database_url)
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock($1)", CLOSING_LOCK)
        await connection.execute(
            "INSERT INTO billing_entries (period_id, installation_id, meter_id, service_point_id, multiplier,"
            " first_day, last_day, start_index_ml, end_index_ml, consumption_ml, billed_ml, excluded_ml, quality,"
            " reasons, complete, days, measured_days, interpolated_days, estimated_days, edited_days)"
            " SELECT 1, l.* FROM billing_lines('2026-03-08', '2026-03-09', 'Asia/Shanghai', NULL) l"
        )
        await connection.execute("UPDATE billing_periods SET state = 'closed'")
        await other.execute("SET lock_timeout = '50ms'")
        await other.execute("UPDATE installations SET multiplier = 10 WHERE meter_id = 1")
    await settle(connection)
    ledger = (await engineer.get(f"{PATH}/corrections")).json()["items"]
    assert [row["difference_ml"] for row in ledger] == [48_000 * 9]
    await other.execute("UPDATE installations SET multiplier = 1 WHERE meter_id = 1")
    await other.close()
    await settle(connection)
    assert (await engineer.get(PATH)).json()["corrected_ml"] == 0


async def test_closing_waits_for_who_changes_an_installation(connection: asyncpg.Connection, database_url: str) -> None:
    other = await asyncpg.connect(database_url)
    async with other.transaction():
        await other.execute("UPDATE installations SET multiplier = 10 WHERE meter_id = 1")
        assert not await connection.fetchval("SELECT pg_try_advisory_lock($1)", CLOSING_LOCK)
    await other.close()
