"""The settlement program as a process, with only its own rights: it settles, one stands by, it ends in order."""

from __future__ import annotations

import asyncio
import os
import signal
import urllib.request
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.integration.ingest_town import FIRST_S, HOUR_S, install, until
from tests.integration.program import START_S, own_login, start, stops_while_it_waits_for_a_database


@pytest.fixture
async def environment(pool: Any, database_url: str) -> AsyncIterator[dict[str, str]]:
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("NBWATER_")}
    async with own_login(pool, database_url, "settlement") as url:
        yield inherited | {
            "NBWATER_DATABASE_URL": url,
            "NBWATER_SETTLEMENT_METRICS_PORT": "0",
            "NBWATER_SETTLEMENT_EVERY_S": "0.1",
            "NBWATER_LEAKS_EVERY_S": "0.1",
        }


async def settled(pool: Any, meter_id: int, hour: int, looked_at: bool = True) -> None:
    """Two readings from this hour on come in and are settled, and looked at for leaks."""
    await pool.execute(
        "INSERT INTO readings SELECT $1, to_timestamp($2 + n * 3600), 0, n * 1000 FROM generate_series(0, 1) n",
        meter_id, FIRST_S + hour * HOUR_S,
    )  # fmt: skip
    await pool.execute(
        "INSERT INTO touched_spans (meter_id, from_ts, to_ts) VALUES ($1, to_timestamp($2), to_timestamp($2 + 3600))",
        meter_id, FIRST_S + hour * HOUR_S,
    )  # fmt: skip

    async def done() -> bool:
        waiting = await pool.fetchval("SELECT count(*) FROM touched_spans")
        return not waiting and not (looked_at and await pool.fetchval("SELECT count(*) FROM leak_due"))

    await until(done, "settlement")
    found = await pool.fetchval("SELECT sum(readings) FROM settled_days WHERE meter_id = $1", meter_id)
    assert found == await pool.fetchval("SELECT count(*) FROM readings WHERE meter_id = $1", meter_id)
    assert await pool.fetchval("SELECT count(*) FROM leak_states WHERE meter_id = $1", meter_id) == 1


async def ready(said: dict[str, Any]) -> None:
    url = f"http://127.0.0.1:{said['metrics_port']}"

    def ask() -> tuple[int, bytes]:
        with urllib.request.urlopen(f"{url}/readyz", timeout=START_S) as answer:
            status = answer.status
        with urllib.request.urlopen(f"{url}/metrics", timeout=START_S) as answer:
            return status, answer.read()

    status, metrics = await asyncio.to_thread(ask)
    assert status == 200
    assert b"nbwater_settlement_backlog_spans" in metrics


async def test_it_settles_with_its_own_rights_and_a_second_one_takes_over(
    pool: Any, environment: dict[str, str]
) -> None:
    meter_id = await install(pool, "1001")
    first, said = await start("ingest.settlement", environment)
    assert said["ready"] == "settlement"
    await settled(pool, meter_id, 0)
    second, also_said = await start("ingest.settlement", environment)
    await ready(also_said)  # standing by
    first.kill()
    await first.wait()
    await settled(pool, meter_id, 4)

    await pool.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE application_name = 'nbwater-settlement' AND datname = current_database()"
    )
    await settled(pool, meter_id, 8)
    second.send_signal(signal.SIGTERM)
    assert await asyncio.wait_for(second.wait(), START_S) == 0


async def test_a_frozen_one_loses_the_lead_and_settles_nothing_twice(pool: Any, environment: dict[str, str]) -> None:
    """SIGSTOP leaves the connection open and answering keepalives, as a paused virtual machine may."""
    meter_id = await install(pool, "1001")
    leased = environment | {"NBWATER_SETTLEMENT_LEASE_S": "3"}
    first, _ = await start("ingest.settlement", leased)
    await settled(pool, meter_id, 0)
    second, also_said = await start("ingest.settlement", leased)
    await ready(also_said)  # standing by
    first.send_signal(signal.SIGSTOP)
    try:
        await settled(pool, meter_id, 4, looked_at=False)  # a transaction that the frozen one left open lasts longer
    finally:
        first.send_signal(signal.SIGCONT)
    second.kill()
    await second.wait()
    await settled(pool, meter_id, 8)  # the first again, by a new connection
    first.send_signal(signal.SIGTERM)
    assert await asyncio.wait_for(first.wait(), START_S) == 0


async def test_it_stops_while_it_waits_for_an_absent_database(environment: dict[str, str]) -> None:
    await stops_while_it_waits_for_a_database("ingest.settlement", environment)
