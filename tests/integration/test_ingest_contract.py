"""The writer over plain PostgreSQL and TimescaleDB: what goes in, what is there, and how each report ended."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
from nats.js import JetStreamContext

from ingest.classify import Prepared, prepare_reports
from ingest.dead_letters import Replayed, replay
from ingest.pipeline import Pipeline
from metering.clock import now_us
from metering.envelope import Report
from tests.integration.ingest_town import (
    FIRST_S,
    HOUR_S,
    ZONE,
    accounts_hold,
    install,
    native,
    new_worker,
    open_pool,
    publish,
    report,
    running,
    settings,
    until,
    watermark_reaches,
)

DAY_S = 24 * HOUR_S


@pytest.fixture
async def connection(any_database_url: str) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(any_database_url)
    yield connection
    await connection.close()


def prepared(*reports: Report) -> Prepared:
    return prepare_reports(reports)


async def take(pipeline: Pipeline, connection: Any, *reports: Report) -> list[tuple[str, str | None, int]]:
    """One transaction; the outcome, reason and new readings of each report that was placed."""
    async with connection.transaction():
        taken = await pipeline.take(connection, prepared(*reports))
    pipeline.remember(taken)
    return [(str(end.outcome), end.reason, end.stored) for end in taken.ended]


async def test_new_late_repeated_and_contradicting(connection: Any) -> None:
    meter = await install(connection, "1001")
    other = await install(connection, "1002")
    pipeline = Pipeline(settings(), ZONE, use_copy=False)
    first = native(1, FIRST_S, [10, 11, 12])
    assert await take(pipeline, connection, report("1001", first), report("1002", native(1, FIRST_S, [5]))) == [
        ("stored", None, 3), ("stored", None, 1),
    ]  # fmt: skip
    assert await take(
        pipeline, connection,
        report("1001", native(2, FIRST_S - 2 * HOUR_S, [8, 9, 10, 11])),
        report("1001", native(3, FIRST_S + HOUR_S, [11, 99, 100])),
        report("1001", first),
        report("nobody", first),
    ) == [("stored", None, 2), ("partial", "conflict", 1), ("duplicate", "repeat", 0)]  # fmt: skip

    rows = await connection.fetch("SELECT meter_id, index_ml FROM readings ORDER BY meter_id, ts")
    assert [tuple(row) for row in rows] == [
        (meter, 8000), (meter, 9000), (meter, 10000), (meter, 11000), (meter, 12000), (meter, 100000), (other, 5000),
    ]  # fmt: skip
    conflict = await connection.fetchrow("SELECT meter_id, stored_index_ml, other_index_ml FROM conflicts")
    assert tuple(conflict) == (meter, 12000, 99000)
    assert (await accounts_hold(connection))["dead_lettered"] == 1
    spans = await connection.fetch("SELECT meter_id, to_ts - from_ts AS length FROM touched_spans ORDER BY span_id")
    assert [(row["meter_id"], row["length"].total_seconds()) for row in spans] == [
        (meter, 2 * HOUR_S), (other, 0), (meter, 5 * HOUR_S),
    ]  # fmt: skip
    latest = await connection.fetchrow("SELECT * FROM device_latest WHERE meter_id = $1", meter)
    assert latest["last_index_ml"] == 100_000


async def test_a_pipeline_that_remembers_nothing_finds_repeats_in_the_database(connection: Any) -> None:
    await install(connection, "1001")
    payload = native(1, FIRST_S, [1, 2])
    await take(Pipeline(settings(), ZONE, use_copy=False), connection, report("1001", payload))
    again = Pipeline(settings(), ZONE, use_copy=False)
    assert await take(again, connection, report("1001", payload)) == [("duplicate", "repeat", 0)]


async def test_a_year_of_backfill_in_one_report(connection: Any) -> None:
    await install(connection, "1001")
    pipeline = Pipeline(settings(), ZONE, use_copy=False)
    days = native(1, FIRST_S - 300 * DAY_S, list(range(2_000)))
    assert await take(pipeline, connection, report("1001", days)) == [("stored", None, 2_000)]


async def test_an_older_report_does_not_age_what_is_known_of_the_device(connection: Any) -> None:
    await install(connection, "1001")
    pipeline = Pipeline(settings(), ZONE, use_copy=False)
    now = now_us()
    newest = report("1001", native(5, FIRST_S + HOUR_S, [2], k4=3500), now)
    older = report("1001", native(4, FIRST_S, [1], k4=3600), now - 5_000_000)
    await take(pipeline, connection, newest)
    await take(pipeline, connection, older)
    row = await connection.fetchrow("SELECT battery_mv, last_index_ml FROM device_latest")
    assert tuple(row) == (3500, 2000)


async def test_a_dead_letter_is_replayed(connection: Any, any_database_url: str) -> None:
    await take(Pipeline(settings(), ZONE, use_copy=False), connection, report("1001", native(1, FIRST_S, [1, 2])))
    await install(connection, "1001")
    await connection.close()
    async with asyncpg.create_pool(any_database_url, min_size=1, max_size=1) as pool:
        assert await replay(pool, settings(), ZONE) == Replayed(stored=1)
        assert (await accounts_hold(pool))["stored"] == 1
        assert await pool.fetchval("SELECT count(*) FROM readings") == 2


async def test_new_readings_go_by_copy_and_late_ones_too(database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    await install(connection, "1001")
    pipeline = Pipeline(settings(), ZONE)
    new, late = native(2, FIRST_S + DAY_S, [24, 25]), native(1, FIRST_S, [0, 1, 2])
    assert await take(pipeline, connection, report("1001", new)) == [("stored", None, 2)]
    assert await take(pipeline, connection, report("1001", late), report("1001", new)) == [
        ("stored", None, 3), ("duplicate", "repeat", 0),
    ]  # fmt: skip
    assert await connection.fetchval("SELECT count(*) FROM readings") == 5
    await connection.close()


async def test_copy_that_meets_a_taken_key_changes_nothing(database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    meter = await install(connection, "1001")
    pipeline = Pipeline(settings(), ZONE)
    await take(pipeline, connection, report("1001", native(1, FIRST_S, [1])))
    await connection.execute("INSERT INTO readings VALUES ($1, to_timestamp($2), 0, 7)", meter, float(FIRST_S + HOUR_S))
    with pytest.raises(asyncpg.UniqueViolationError):
        await take(pipeline, connection, report("1001", native(2, FIRST_S + HOUR_S, [2])))
    assert (await accounts_hold(connection))["received"] == 1
    await connection.close()


@pytest.mark.timescale
async def test_the_native_path(js: JetStreamContext, native_timescale_url: str) -> None:
    """COPY into hypertables, two workers, late rows into compressed chunks, policies in place."""
    async with open_pool(native_timescale_url) as pool:
        for n in range(50):
            await install(pool, f"2{n:03}")
        first_s = FIRST_S - 30 * DAY_S
        workers = [new_worker(pool, js), new_worker(pool, js)]
        async with running(workers[0]), running(workers[1]):
            for day in range(30):
                batch = [
                    report(f"2{n:03}", native(day, first_s + day * DAY_S, list(range(24 * day, 24 * day + 24))))
                    for n in range(50)
                    if not (n == 7 and day == 3)
                ]
                last = await publish(js, *batch)
            await watermark_reaches(pool, last)
            chunks = await pool.fetch(
                "SELECT compress_chunk(c) FROM show_chunks('readings', older_than => interval '2 days') c"
            )
            assert len(chunks) > 20
            leader = next(worker for worker in workers if worker.consuming)
            late = report("2007", native(3, first_s + 3 * DAY_S, list(range(72, 96))))
            repeat = report("2008", native(3, first_s + 3 * DAY_S, list(range(72, 96))))
            contradicting = report("2009", native(99, first_s + 3 * DAY_S, [1000]))
            await watermark_reaches(pool, await publish(js, late, repeat, contradicting))
            leader.stop()

            async def taken_over() -> bool:
                return any(worker.consuming for worker in workers if worker is not leader)

            await until(taken_over)
            await watermark_reaches(pool, await publish(js, report("2000", native(77, FIRST_S, [720]))))
        assert await pool.fetchval("SELECT count(*) FROM readings") == 50 * 30 * 24 + 1
        assert await pool.fetchval("SELECT count(*) FROM conflicts") == 1
        accounts = await accounts_hold(pool)
        assert (accounts["duplicate"], accounts["partial"]) == (1, 1)
        jobs = {row[0] for row in await pool.fetch("SELECT proc_name FROM timescaledb_information.jobs")}
        assert {"policy_compression", "policy_retention"} <= jobs
