"""Each report ends exactly once in the database, whatever dies (DESIGN sections 3 and 5)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from nats.js import JetStreamContext

from metering.streams import StreamSizes, ensure
from tests.integration.ingest_town import (
    FIRST_S,
    HOUR_S,
    accounts_hold,
    install,
    native,
    new_worker,
    open_pool,
    publish,
    report,
    running,
    take_all,
    until,
    watermark_reaches,
)


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[Any]:
    async with open_pool(database_url) as pool:
        yield pool


async def test_a_report_becomes_readings(js: JetStreamContext, pool: Any) -> None:
    meter = await install(pool, "434045073902")
    sequence = await publish(
        js, report("434045073902", native(1, FIRST_S, [100, 110, 125], k4=3600, k5=-1087)), repeats={"coap": 3}
    )
    await take_all(pool, js, sequence)

    rows = await pool.fetch("SELECT meter_id, extract(epoch FROM ts)::bigint, kind, index_ml FROM readings ORDER BY ts")
    assert [tuple(row) for row in rows] == [
        (meter, FIRST_S, 0, 100_000),
        (meter, FIRST_S + HOUR_S, 0, 110_000),
        (meter, FIRST_S + 2 * HOUR_S, 0, 125_000),
    ]
    stored = await pool.fetchrow("SELECT * FROM reports")
    assert (stored["outcome"], stored["readings"], stored["readings_stored"]) == ("stored", 3, 3)
    assert (stored["battery_mv"], stored["rsrp_ddbm"], stored["decoder"]) == (3600, -1087, "native_cbor")
    assert (stored["first_ts"].timestamp(), stored["last_ts"].timestamp()) == (FIRST_S, FIRST_S + 2 * HOUR_S)
    latest = await pool.fetchrow("SELECT * FROM device_latest")
    assert (latest["last_index_ml"], latest["last_ts"].timestamp()) == (125_000, FIRST_S + 2 * HOUR_S)
    span = await pool.fetchrow("SELECT * FROM touched_spans")
    assert (span["meter_id"], span["from_ts"].timestamp(), span["to_ts"].timestamp()) == (
        meter, FIRST_S, FIRST_S + 2 * HOUR_S,
    )  # fmt: skip
    assert (await accounts_hold(pool))["repeats"] == 3
    assert await pool.fetchval("SELECT count(*) FROM raw_reports") == 1
