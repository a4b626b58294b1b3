"""Each report ends exactly once in the database, whatever dies (DESIGN sections 3 and 5)."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from pathlib import Path
from typing import Any

import nats.errors
import pytest
from nats.js import JetStreamContext

from deploy.embedded.nats import USERS, NatsServer
from ingest.consumer import UpConsumer
from metering.stream_connection import connect
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


async def test_the_worker_writes_the_fast_way(js: JetStreamContext, pool: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async def not_this_way(*_: object) -> None:
        raise AssertionError("the careful way is for what COPY refused")

    monkeypatch.setattr("ingest.writer.insert_readings", not_this_way)
    await install(pool, "1001")
    for seq in range(3):
        last = await publish(js, report("1001", native(seq, FIRST_S + seq * HOUR_S, [seq])))
    await take_all(pool, js, last)
    assert (await accounts_hold(pool))["stored"] == 3
    assert await pool.fetchval("SELECT count(*) FROM dead_letters") == 0


async def test_a_worker_killed_between_commit_and_acknowledgement_stores_once(
    js: JetStreamContext, pool: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    meter = await install(pool, "1001")
    sequence = await publish(js, report("1001", native(1, FIRST_S, [1, 2, 3])))

    async def killed(_deliveries: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr("ingest.worker.acknowledge", killed)
    first = asyncio.create_task(new_worker(pool, js).run())
    await watermark_reaches(pool, sequence)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    monkeypatch.undo()

    more = await publish(js, report("1001", native(2, FIRST_S + 3 * HOUR_S, [4])))
    await take_all(pool, js, more)
    assert await pool.fetchval("SELECT count(*) FROM readings WHERE meter_id = $1", meter) == 4
    assert (await accounts_hold(pool))["received"] == 2


async def test_a_redelivered_message_is_dropped_and_acknowledged(
    js: JetStreamContext, pool: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    await install(pool, "1001")
    monkeypatch.setattr("ingest.consumer.ACK_WAIT_S", 0.3)
    lost = []

    async def lose_first(deliveries: Any) -> None:
        if not lost:
            lost.extend(deliveries)
            return
        for delivery in deliveries:
            await delivery.handle.ack()

    monkeypatch.setattr("ingest.worker.acknowledge", lose_first)
    async with running(new_worker(pool, js)):
        await watermark_reaches(pool, await publish(js, report("1001", native(1, FIRST_S, [1, 2, 3]))))

        async def acknowledged() -> bool:
            info = await js.consumer_info("UP", "ingest-0")
            return info.num_ack_pending == 0 and info.ack_floor.stream_seq >= 1

        await until(acknowledged, "the acknowledgement")
    assert (await accounts_hold(pool))["received"] == 1


async def test_whole_batches_delivered_again_double_nothing(
    js: JetStreamContext, pool: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that commits and dies before it acknowledges, again and again: the stream delivers all it has."""
    meters = [await install(pool, str(1001 + n)) for n in range(3)]
    for seq in range(6):
        reports = [report(str(1001 + n), native(seq, FIRST_S + 2 * seq * HOUR_S, [seq, seq])) for n in range(3)]
        last = await publish(js, *reports)
    monkeypatch.setattr("ingest.consumer.ACK_WAIT_S", 0.3)
    times: Counter[int] = Counter()
    take = UpConsumer._delivery

    def noted(consumer: UpConsumer, handle: Any) -> Any:
        times[handle.metadata.sequence.stream] = handle.metadata.num_delivered
        return take(consumer, handle)

    async def lost(_deliveries: object) -> None:
        """The acknowledgement that a killed worker never sent."""

    monkeypatch.setattr(UpConsumer, "_delivery", noted)
    monkeypatch.setattr("ingest.worker.acknowledge", lost)

    async def all_three_times() -> bool:
        return all(times[sequence] >= 3 for sequence in range(1, last + 1))

    async with running(new_worker(pool, js)):
        await until(all_three_times, "the third delivery of each message")
    assert await pool.fetchval("SELECT sequence FROM watermarks WHERE partition = 0") == last
    held = await accounts_hold(pool)
    assert (held["received"], held["stored"], held["duplicate"], held["repeats"]) == (18, 18, 0, 0)
    stored = await pool.fetch("SELECT meter_id, count(*)::int, sum(index_ml)::int FROM readings GROUP BY 1 ORDER BY 1")
    assert [tuple(row) for row in stored] == [(meter, 12, 30_000) for meter in meters]


async def test_a_database_restored_from_a_copy_catches_up(
    js: JetStreamContext, pool: Any, postgres_server: Any, database_url: str
) -> None:
    await install(pool, "1001")
    await take_all(pool, js, await publish(js, report("1001", native(1, FIRST_S, [1, 2]))))
    name = database_url.rpartition("/")[2]
    await pool.close()
    async with open_pool(postgres_server.url("postgres")) as server:
        await server.execute(f"CREATE DATABASE {name}_copy TEMPLATE {name}")
    async with open_pool(database_url) as original:
        last = await publish(js, report("1001", native(2, FIRST_S + 2 * HOUR_S, [3, 4])))
        await take_all(original, js, last)
        want = await original.fetch("SELECT * FROM readings ORDER BY ts")

    async with open_pool(postgres_server.url(f"{name}_copy")) as restored:
        assert await restored.fetchval("SELECT count(*) FROM readings") == 2
        await take_all(restored, js, last)
        assert await restored.fetch("SELECT * FROM readings ORDER BY ts") == want
        assert (await accounts_hold(restored))["stored"] == 2
    async with open_pool(postgres_server.url("postgres")) as server:
        await server.execute(f"DROP DATABASE {name}_copy WITH (FORCE)")


async def test_a_second_worker_stands_by_and_takes_over(js: JetStreamContext, pool: Any) -> None:
    await install(pool, "1001")
    first, second = new_worker(pool, js), new_worker(pool, js)
    async with running(second):
        first_task = asyncio.create_task(first.run())

        async def shared_out() -> bool:
            return first.consuming != second.consuming and (first.standing_by or second.standing_by)

        await until(shared_out, "one working and one standing by")
        working, waiting = (first, second) if first.consuming else (second, first)
        working.stop()

        async def taken_over() -> bool:
            return waiting.consuming

        await until(taken_over, "the take-over")
        await watermark_reaches(pool, await publish(js, report("1001", native(1, FIRST_S, [1]))))
        first.stop()
        await first_task
    assert await pool.fetchval("SELECT fence FROM watermarks") >= 2


async def test_a_worker_that_lost_its_lease_cannot_commit(
    js: JetStreamContext, pool: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    await install(pool, "1001")
    worker = new_worker(pool, js, lease_s=60)
    async with running(worker):

        async def consuming() -> bool:
            return worker.consuming

        await until(consuming)
        await pool.execute("UPDATE watermarks SET fence = fence + 1, holder = 'other', lease_until = now() + '1 h'")
        await publish(js, report("1001", native(1, FIRST_S, [1])))

        async def standing_by() -> bool:
            return worker.standing_by

        await until(standing_by, "the worker to be fenced")
        assert await pool.fetchval("SELECT count(*) FROM readings") == 0
        await pool.execute("UPDATE watermarks SET lease_until = now()")
        worker.stop()
    await take_all(pool, js, 1)
    assert (await accounts_hold(pool))["stored"] == 1


async def test_a_stream_made_anew_is_read_from_its_beginning(js: JetStreamContext, pool: Any) -> None:
    await install(pool, "1001")
    worker = new_worker(pool, js)
    async with running(worker):
        for seq in range(3):
            await publish(js, report("1001", native(seq, FIRST_S + seq * HOUR_S, [seq])))
        await watermark_reaches(pool, 3)
        await js.delete_stream("UP")
        await ensure(js, StreamSizes(1 << 26, registry_max_bytes=1 << 26))
        await publish(js, report("1001", native(9, FIRST_S + 9 * HOUR_S, [9])))

        async def there() -> bool:
            return await pool.fetchval("SELECT count(*) FROM readings") == 4

        await until(there, "the reading of the new stream")
    assert await pool.fetchval("SELECT sequence FROM watermarks") == 1
    assert (await accounts_hold(pool))["stored"] == 4


async def test_the_same_report_twice_in_the_stream_is_one(js: JetStreamContext, pool: Any) -> None:
    await install(pool, "1001")
    twice = report("1001", native(1, FIRST_S, [1, 2]))
    await publish(js, twice)
    last = await publish(js, twice)
    await take_all(pool, js, last)
    last = await publish(js, twice, twice)
    await take_all(pool, js, last)
    assert await accounts_hold(pool) == {
        "received": 1, "stored": 1, "partial": 0, "duplicate": 0, "dead_lettered": 0, "repeats": 3,
    }  # fmt: skip


async def test_a_database_that_is_away_is_waited_for(js: JetStreamContext, pool: Any) -> None:
    await install(pool, "1001")
    async with running(new_worker(pool, js)):
        for seq in range(20):
            await publish(js, report("1001", native(seq, FIRST_S + seq * HOUR_S, [seq])))
            if seq % 5 == 0:
                await pool.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
        await watermark_reaches(pool, 20)
    assert await pool.fetchval("SELECT count(*) FROM readings") == 20
    assert (await accounts_hold(pool))["stored"] == 20


async def test_a_stream_that_is_killed_is_waited_for(pool: Any, tmp_path: Path) -> None:
    await install(pool, "1001")
    server = NatsServer(tmp_path, dict.fromkeys(USERS, "x"))
    server.start()
    client = await connect(server.url, "test")
    js = client.jetstream()
    await ensure(js, StreamSizes(1 << 26, registry_max_bytes=1 << 26))
    async with running(new_worker(pool, js)):
        await watermark_reaches(pool, await publish(js, report("1001", native(1, FIRST_S, [1]))))
        server.kill()
        server.start()

        async def published() -> int:
            with contextlib.suppress(nats.errors.Error, OSError):
                return await publish(js, report("1001", native(2, FIRST_S + HOUR_S, [2])))
            return 0

        await watermark_reaches(pool, await until(published, "the stream"))
    await client.close()
    server.stop()
    assert await pool.fetchval("SELECT count(*) FROM readings") == 2
    await accounts_hold(pool)
