"""The ingest program as a process, with only its own rights in the database and the stream."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import urllib.request
from collections.abc import AsyncIterator
from typing import Any

import pytest
from nats.js import JetStreamContext

from metering.streams import SNAPSHOT_BUCKET
from tests.integration.ingest_town import (
    FIRST_S,
    HOUR_S,
    accounts_hold,
    install,
    native,
    publish,
    report,
    until,
    watermark_reaches,
)
from tests.integration.program import own_login, start, stops_while_it_waits_for_a_database


@pytest.fixture
async def environment(pool: Any, database_url: str, nats_server: Any, nats_url: str) -> AsyncIterator[dict[str, str]]:
    async with own_login(pool, database_url, "ingest") as url:
        yield {
            **os.environ,
            "NBWATER_DATABASE_URL": url,
            "NBWATER_NATS_URL": nats_server.url_for("ingest"),
            "NBWATER_NATS_MONITOR_URL": nats_server.monitor_url,
            "NBWATER_INGEST_METRICS_PORT": "0",
            "NBWATER_INGEST_LEASE_S": "60",
            "NBWATER_INGEST_KEEP_STREAM_H": "0",
        }


async def test_it_works_with_its_own_rights_and_takes_over_from_the_dead(
    js: JetStreamContext, pool: Any, environment: dict[str, str]
) -> None:
    await install(pool, "1001")
    process, ready = await start("ingest", environment)
    assert ready["ready"] == "ingest"
    await watermark_reaches(pool, await publish(js, report("1001", native(1, FIRST_S, [1, 2, 3], k10=1))))

    async def snapshot_written() -> Any:
        return await (await js.object_store(SNAPSHOT_BUCKET)).list(ignore_deletes=True)

    await until(snapshot_written, "the registry snapshot")

    async def trimmed() -> bool:
        return (await js.stream_info("UP")).state.first_seq >= 1

    await until(trimmed)
    metrics = await asyncio.to_thread(
        lambda: urllib.request.urlopen(f"http://127.0.0.1:{ready['metrics_port']}/metrics", timeout=5).read().decode()
    )
    assert 'nbwater_ingest_reports_total{door="coap",outcome="stored"} 1.0' in metrics
    process.kill()
    await process.wait()

    process, _ = await start("ingest", environment)
    await watermark_reaches(pool, await publish(js, report("1001", native(2, FIRST_S + 3 * HOUR_S, [4]))))
    process.send_signal(signal.SIGTERM)
    assert await asyncio.wait_for(process.wait(), 30) == 0
    assert (await accounts_hold(pool))["stored"] == 2
    assert await pool.fetchval("SELECT holder FROM watermarks") is None


async def test_a_database_without_schema_is_refused_in_one_line(
    environment: dict[str, str], empty_database_url: str
) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "ingest",
        env=environment | {"NBWATER_DATABASE_URL": empty_database_url}, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    _, complaint = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 1
    assert "nbwater migrate" in complaint.decode().splitlines()[-1]


async def test_it_stops_while_it_waits_for_an_absent_database(environment: dict[str, str]) -> None:
    await stops_while_it_waits_for_a_database("ingest", environment)
