"""One active worker for each partition (DESIGN section 3.4), tried on processes: who is frozen in the middle of a
transaction neither commits it later nor keeps the next one waiting, and who dies is replaced by who stands by."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from nats.js import JetStreamContext

from metering import envelope
from metering.streams import up_subject
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
from tests.integration.program import start

LEASE_S = 2


@pytest.fixture
def environment(database_url: str, nats_server: Any, nats_url: str) -> dict[str, str]:
    return {
        **os.environ,
        "NBWATER_DATABASE_URL": database_url,
        "NBWATER_NATS_URL": nats_server.url_for("ingest"),
        "NBWATER_INGEST_METRICS_PORT": "0",
        "NBWATER_INGEST_LEASE_S": str(LEASE_S),
    }


@asynccontextmanager
async def worker(environment: dict[str, str], **settings: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A running ingest process; killed with the block."""
    process, said = await start("ingest", environment | settings)
    try:
        assert said["ready"] == "ingest"
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def held_by(pool: Any, process: asyncio.subprocess.Process, partition: int = 0) -> None:
    async def holds() -> bool:
        holder = await pool.fetchval("SELECT holder FROM watermarks WHERE partition = $1", partition)
        return (holder or "//-1").split("/")[2] == str(process.pid)

    await until(holds, f"partition {partition} held by {process.pid}")


async def waits_for_a_lock(pool: Any) -> bool:
    return await pool.fetchval(
        "SELECT EXISTS (SELECT FROM pg_stat_activity "
        "WHERE application_name = 'nbwater-ingest' AND datname = current_database() AND wait_event_type = 'Lock')"
    )


async def test_a_worker_frozen_in_its_transaction_is_replaced_and_commits_nothing_when_it_wakes(
    js: JetStreamContext, pool: Any, environment: dict[str, str]
) -> None:
    environment["NBWATER_INGEST_LEASE_S"] = "6"  # of both alike: one takes what was not renewed for its own lease
    await install(pool, "1001")
    async with worker(environment) as frozen:
        await held_by(pool, frozen)
        async with pool.acquire() as other, other.transaction():
            await other.execute("LOCK TABLE readings IN EXCLUSIVE MODE")
            sequence = await publish(js, report("1001", native(1, FIRST_S, [1, 2, 3])))
            await until(lambda: waits_for_a_lock(pool), "the worker to be within its transaction")
            frozen.send_signal(signal.SIGSTOP)
        async with worker(environment) as next_one:
            await held_by(pool, next_one)
            await watermark_reaches(pool, sequence)
            assert (await accounts_hold(pool))["stored"] == 1
            frozen.send_signal(signal.SIGCONT)
            after = await publish(js, report("1001", native(2, FIRST_S + 3 * HOUR_S, [4])))
            await watermark_reaches(pool, after)
            await held_by(pool, next_one)
            assert frozen.returncode is None
            # The first may have taken deliveries from the consumer before it saw that it was replaced: then the second
            # begins its tenure anew, which raises the fence once more.
            assert await pool.fetchval("SELECT fence FROM watermarks WHERE partition = 0") >= 2
    assert (await accounts_hold(pool))["stored"] == 2
    assert await pool.fetchval("SELECT count(*) FROM readings") == 4


async def test_each_partition_has_a_worker_and_one_that_stands_by(
    js: JetStreamContext, pool: Any, environment: dict[str, str]
) -> None:
    environment["NBWATER_NATS_PARTITIONS"] = "2"
    environment["NBWATER_INGEST_LEASE_S"] = "60"  # the dead are known to be dead: nobody waits for their lease
    devices = {envelope.partition(device, 2): device for device in ("1001", "1002", "1003", "1004")}
    for device in devices.values():
        await install(pool, device)
    async with (
        worker(environment, NBWATER_INGEST_PARTITION="0") as first,
        worker(environment, NBWATER_INGEST_PARTITION="1") as second,
    ):
        await held_by(pool, first, 0)
        await held_by(pool, second, 1)
        async with worker(environment, NBWATER_INGEST_PARTITION="1", NBWATER_INGEST_LEASE_S="3") as standby:
            second.kill()
            await held_by(pool, standby, 1)
            for partition, device in devices.items():
                body = envelope.encode([report(device, native(1, FIRST_S, [1, 2]))])
                sequence = (await js.publish(up_subject(partition), body)).seq

                async def reached(partition: int = partition, sequence: int = sequence) -> bool:
                    mark = "SELECT sequence FROM watermarks WHERE partition = $1"
                    return await pool.fetchval(mark, partition) >= sequence

                await until(reached, f"partition {partition} taken")
    assert (await accounts_hold(pool))["stored"] == 2
