"""A decoder was wrong; the right one reads everything again. On plain PostgreSQL and on TimescaleDB."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest

from ingest import classify
from ingest.dead_letters import replay as replay_letters
from ingest.decoders import Decoders
from ingest.gate import close_gate, pass_gate
from ingest.pipeline import Pipeline
from ingest.replay.run import LOCK, Choice, Replay
from metering.errors import ConflictError, DecodeError, NotFoundError
from metering.model import DecodedReport
from tests.integration.ingest_town import (
    FIRST_S,
    HOUR_S,
    ZONE,
    accounts_hold,
    install,
    native,
    open_pool,
    report,
    settings,
    until,
)

EVER = Choice(datetime(2020, 1, 1, tzinfo=UTC))


@pytest.fixture
async def pool(any_database_url: str) -> AsyncIterator[Any]:
    """Of one connection: TimescaleDB in WebAssembly serves one client."""
    async with asyncpg.create_pool(any_database_url, min_size=1, max_size=1) as pool:
        yield pool


@pytest.fixture
async def plain(database_url: str) -> AsyncIterator[Any]:
    """Of several connections."""
    async with open_pool(database_url) as pool:
        yield pool


@contextmanager
def wrong_decoder(wrong: Any) -> Iterator[None]:
    """Every report is read by `wrong(content)` instead."""

    right = Decoders.decode

    def old(decoders: Decoders, content_format: int, payload: bytes, received_at_s: int) -> tuple[str, DecodedReport]:
        name, content = right(decoders, content_format, payload, received_at_s)
        return name, wrong(content)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Decoders, "decode", old)
        yield


def ten_times(content: DecodedReport) -> DecodedReport:
    return content._replace(index_ml=[ml * 10 for ml in content.index_ml])


def hours_late(hours: int) -> Any:
    def wrong(content: DecodedReport) -> DecodedReport:
        return content._replace(ts_s=[ts + hours * HOUR_S for ts in content.ts_s])

    return wrong


async def take(pool: Any, *payloads: tuple[str, bytes]) -> list[Any]:
    """These reports of these devices, an hour apart, taken as ingest takes them; their reports."""
    pipeline = Pipeline(settings(), ZONE, use_copy=False)
    start_us = (FIRST_S + 24 * HOUR_S) * 1_000_000
    reports = [report(device, payload, at_us=start_us + n * 1_000_000) for n, (device, payload) in enumerate(payloads)]
    for one in reports:
        async with pool.acquire() as connection, connection.transaction():
            await pipeline.take(connection, classify.prepare_reports([one]), careful=True)
    return reports


async def run(pool: Any, choice: Choice = EVER, dry: bool = False) -> Counter[str]:
    totals: Counter[str] = Counter()
    async with pool.acquire() as connection:
        async for progress in Replay(connection, settings(), ZONE, "test").run(choice, dry):
            totals = progress.totals
    return totals


async def readings(pool: Any) -> dict[tuple[int, int], int]:
    rows = await pool.fetch("SELECT meter_id, extract(epoch FROM ts)::bigint AS ts_s, index_ml FROM readings")
    return {(row["meter_id"], row["ts_s"] - FIRST_S): row["index_ml"] for row in rows}


def a_day(seq: int, first_h: int, *litres: int) -> bytes:
    return native(seq, FIRST_S + first_h * HOUR_S, litres)


async def test_wrong_values_become_right_and_the_old_ones_are_kept(pool: Any) -> None:
    meters = [await install(pool, "1001"), await install(pool, "1002")]
    with wrong_decoder(ten_times):
        await take(pool, ("1001", a_day(1, 0, 10, 11, 12)), ("1001", a_day(2, 3, 13)), ("1002", a_day(1, 0, 5)))
    before = await readings(pool)
    await pool.execute("DELETE FROM touched_spans")

    dry = await run(pool, dry=True)
    assert await readings(pool) == before
    assert not await pool.fetch("SELECT FROM corrections UNION ALL SELECT FROM replays")
    done = await run(pool)
    assert dry == done
    assert (done["changed"], done["added"], done["withdrawn"], done["reports"]) == (5, 0, 0, 3)
    assert {key: ml // 10 for key, ml in before.items()} == await readings(pool)
    kept = await pool.fetch("SELECT old_index_ml, new_index_ml FROM corrections")
    assert sorted(tuple(row) for row in kept) == sorted((ml, ml // 10) for ml in before.values())
    assert {row["meter_id"] for row in await pool.fetch("SELECT meter_id FROM touched_spans")} == set(meters)
    latest = dict(await pool.fetch("SELECT meter_id, last_index_ml FROM device_latest"))
    assert latest[meters[0]] == before[(meters[0], 3 * HOUR_S)] // 10
    assert [row["action"] for row in await pool.fetch("SELECT action FROM audit_log ORDER BY at")] == [
        "replay_begin", "replay_end",
    ]  # fmt: skip
    await accounts_hold(pool)

    again = await run(pool)
    assert (again["changed"], again["unchanged"]) == (0, 5)
    assert await pool.fetchval("SELECT count(*) FROM corrections") == 5


@pytest.mark.parametrize("hours", [8, -8])
async def test_times_that_were_wrong_are_put_right_without_a_trace_of_the_wrong_ones(pool: Any, hours: int) -> None:
    """Reports follow one another, so that wrong times of one are right times of its neighbour."""
    meter = await install(pool, "1001")
    days = [("1001", a_day(1 + d, 24 * d - 48, *range(24 * d + 1, 24 * d + 25))) for d in range(3)]
    with wrong_decoder(hours_late(hours)):
        await take(pool, *days)
    wrong = await readings(pool)
    done = await run(pool)
    right = {(meter, (h - 48) * HOUR_S): (h + 1) * 1_000 for h in range(72)}
    assert await readings(pool) == right
    assert done["withdrawn"] == len(wrong.keys() - right.keys()) == 8
    assert done["added"] == len(right.keys() - wrong.keys()) == 8
    assert done["contradicted"] == 0
    assert (await run(pool))["unchanged"] == 72
    await accounts_hold(pool)


async def test_a_reading_that_another_report_may_have_delivered_stays(pool: Any) -> None:
    """The other report is not chosen: what contradicts is recorded once, and nothing is lost."""
    await install(pool, "1001")
    with wrong_decoder(ten_times):
        first, _ = await take(pool, ("1001", a_day(1, 0, 10, 11, 12)), ("1001", a_day(2, 2, 12, 13)))
    before = await readings(pool)
    received = datetime.fromtimestamp(first.received_at_us / 1e6, UTC)
    only_first = Choice(EVER.since, until=received + timedelta(milliseconds=500))
    for _ in range(2):
        done = await run(pool, only_first)
        assert done["contradicted"] == 1
    stays = await readings(pool)
    assert [stays[key] for key in sorted(stays)] == [10_000, 11_000, 120_000, 130_000]
    assert [before[key] for key in sorted(before)] == [100_000, 110_000, 120_000, 130_000]
    conflict = await pool.fetchrow("SELECT * FROM conflicts")
    assert (conflict["stored_index_ml"], conflict["other_index_ml"]) == (120_000, 12_000)
    assert await pool.fetchval("SELECT outcome FROM reports ORDER BY received_at LIMIT 1") == "partial"
    await accounts_hold(pool)
    assert (await run(pool))["contradicted"] == 0
    assert sorted((await readings(pool)).values()) == [10_000, 11_000, 12_000, 13_000]
    assert {row["outcome"] for row in await pool.fetch("SELECT outcome FROM reports")} == {"stored"}
    await accounts_hold(pool)


async def test_what_cannot_be_read_any_more_stays(pool: Any) -> None:
    await install(pool, "1001")
    await take(pool, ("1001", a_day(1, 0, 10, 11)), ("1001", a_day(2, 2, 12, 13)))
    before = await readings(pool)

    def worse(content: DecodedReport) -> DecodedReport:
        if content.seq == 1:
            raise DecodeError("checksum", "it was good once")
        return content

    with wrong_decoder(worse):
        done = await run(pool)
    assert (done["undecodable"], done["unchanged"], done["withdrawn"]) == (1, 2, 0)
    assert await readings(pool) == before
    await accounts_hold(pool)


async def test_only_what_is_chosen(pool: Any) -> None:
    await install(pool, "1001")
    await install(pool, "1002")
    with wrong_decoder(ten_times):
        await take(pool, ("1001", a_day(1, 0, 10)), ("1002", a_day(1, 0, 10)))
    assert (await run(pool, Choice(EVER.since, decoder="cjt188")))["reports"] == 0
    assert (await run(pool, Choice(EVER.since, meters=("1002",))))["changed"] == 1
    assert sorted((await readings(pool)).values()) == [10_000, 100_000]
    with pytest.raises(NotFoundError, match="4711"):
        await run(pool, Choice(EVER.since, meters=("4711",)))


async def test_one_that_was_cut_off_goes_on(pool: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingest.replay.run.METERS_PER_BATCH", 2)
    for n in range(5):
        await install(pool, f"100{n}")
    with wrong_decoder(ten_times):
        await take(pool, *((f"100{n}", a_day(1, 0, 10)) for n in range(5)))
    async with pool.acquire() as connection:
        walking = Replay(connection, settings(), ZONE, "test").run(EVER, dry=False)
        assert (await anext(walking)).totals["changed"] == 2
        await walking.aclose()
        seen = [progress async for progress in Replay(connection, settings(), ZONE, "test").run(EVER, dry=False)]
    assert seen[0].resumed
    assert sum(len(progress.differences) for progress in seen) == 3
    assert (seen[-1].totals["meters"], seen[-1].totals["changed"]) == (5, 5)
    assert await pool.fetchval("SELECT count(*) FROM replays WHERE finished_at IS NOT NULL") == 1


async def test_reports_beyond_the_bound_are_read_in_slices(pool: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingest.replay.run.MAX_REPORTS", 2)
    await install(pool, "1001")
    with wrong_decoder(ten_times):
        await take(pool, *(("1001", a_day(1 + n, n, 10 + n)) for n in range(5)))
    assert (await run(pool))["changed"] == 5
    assert sorted((await readings(pool)).values()) == [10_000, 11_000, 12_000, 13_000, 14_000]


async def test_a_replay_waits_for_those_who_take_reports_and_they_for_it(plain: Any) -> None:
    """No transaction decides by readings that a replay changes before it commits."""
    await install(plain, "1001")
    with wrong_decoder(ten_times):
        await take(plain, ("1001", a_day(1, 0, 10)))
    async with plain.acquire() as connection:
        passed = connection.transaction()
        await passed.start()
        await pass_gate(connection)
        replaying = asyncio.create_task(run(plain))
        await _until_somebody_waits(plain)
        assert list((await readings(plain)).values()) == [100_000]
        await passed.commit()
        assert (await asyncio.wait_for(replaying, 60))["changed"] == 1

        closed = connection.transaction()
        await closed.start()
        await close_gate(connection)
        letters = asyncio.create_task(replay_letters(plain, settings(), ZONE))
        await _until_somebody_waits(plain)
        assert not letters.done()
        await closed.commit()
        await asyncio.wait_for(letters, 60)


async def _until_somebody_waits(plain: Any) -> None:
    async def waits() -> Any:
        return await plain.fetchval(
            "SELECT count(*) FROM pg_locks JOIN pg_database d ON d.oid = database"
            " WHERE locktype = 'advisory' AND NOT granted AND datname = current_database()"
        )

    await until(waits, "a waiting lock")


async def test_two_replays_do_not_run_at_once(plain: Any) -> None:
    async with plain.acquire() as connection:
        await connection.execute("SELECT pg_advisory_lock($1)", LOCK)
        with pytest.raises(ConflictError):
            await run(plain)
        await connection.execute("SELECT pg_advisory_unlock($1)", LOCK)


@pytest.mark.timescale
async def test_compressed_chunks_are_put_right_too(native_timescale_url: str) -> None:
    async with asyncpg.create_pool(native_timescale_url, min_size=1, max_size=1) as pool:
        meter = await install(pool, "1001")
        with wrong_decoder(hours_late(8)):
            await take(pool, ("1001", a_day(1, -48, 1, 2, 3)))
        with wrong_decoder(ten_times):
            await take(pool, ("1001", a_day(2, -45, 4, 5)))
        for table in ("readings", "reports"):
            await pool.execute(f"SELECT compress_chunk(c) FROM show_chunks('{table}') c")
        done = await run(pool)
        assert (done["withdrawn"], done["added"], done["changed"]) == (3, 3, 2)
        right = {(meter, (h - 48) * HOUR_S): (h + 1) * 1_000 for h in range(5)}
        assert await readings(pool) == right
        assert (await run(pool))["unchanged"] == 5
        await accounts_hold(pool)
