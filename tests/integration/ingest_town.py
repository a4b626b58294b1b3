"""A small town for the ingest tests: meters in the registry, reports in the stream, a worker that can be killed."""

from __future__ import annotations

import asyncio
import itertools
import json
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any
from zoneinfo import ZoneInfo

import asyncpg
import cbor2
import pytest
from nats.js import JetStreamContext

from ingest import pipeline
from ingest.worker import Worker
from metering import envelope
from metering.clock import now_us
from metering.commands import arguments_to_json, database_id, travelling_id
from metering.envelope import Report
from metering.model import Authentication, ContentFormat, Door
from metering.settings import IngestSettings

ZONE = ZoneInfo("Asia/Shanghai")
DEADLINE_S = 60.0
HOUR_S = 3600
FIRST_S = (now_us() // 1_000_000 // HOUR_S - 48) * HOUR_S
"""Two days ago on the hour."""

UNWRITABLE_SEQ = 13
"""Of the report whose row PostgreSQL refuses after `refuse_a_row`."""


def refuse_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if a value came through that no check foresaw."""
    good = pipeline.ended_values

    def values(ended: Any, sequence: int) -> tuple[Any, ...]:
        row = good(ended, sequence)
        return row if ended.placed.content.seq != UNWRITABLE_SEQ else (*row[:7], "nul \0 in a text", *row[8:])

    monkeypatch.setattr(pipeline, "ended_values", values)


def settings(**changed: Any) -> IngestSettings:
    return IngestSettings(**{"lease_s": 1.5, "metrics_port": 0} | changed)


async def install(connection: Any, serial: str, device: str | None = None, since: str = "2020-01-01Z") -> int:
    """A meter with its device at a service point; returns the meter's id."""
    return await connection.fetchval(
        """
        WITH point AS (INSERT INTO service_points DEFAULT VALUES RETURNING service_point_id),
             meter AS (INSERT INTO meters (serial) VALUES ($1) RETURNING meter_id),
             device AS (INSERT INTO devices (device) VALUES ($2) RETURNING device_id)
        INSERT INTO installations (service_point_id, meter_id, device_id, valid_from)
        SELECT service_point_id, meter_id, device_id, $3::text::timestamptz FROM point, meter, device RETURNING meter_id
        """,
        serial, device or serial, since,
    )  # fmt: skip


def native(seq: int | None, first_s: int, index_l: Sequence[int], **fields: Any) -> bytes:
    """A native CBOR report with hourly readings (PROTOCOLS G)."""
    deltas = [b - a for a, b in itertools.pairwise(index_l)]
    body: dict[int, Any] = {0: 1, 2: [[first_s, HOUR_S, index_l[0], deltas]]}
    if seq is not None:
        body[1] = seq
    return cbor2.dumps(body | {int(key.removeprefix("k")): value for key, value in fields.items()})


def report(device: str, payload: bytes, at_us: int | None = None, content_format: int = ContentFormat.CBOR) -> Report:
    at_us = at_us or now_us()
    return Report(
        envelope.mint_report_id(at_us), at_us, Door.COAP, Authentication.CLAIMED, device, content_format, payload,
        "127.0.0.1:5683",
    )  # fmt: skip


async def publish(js: JetStreamContext, *reports: Report, repeats: dict[str, int] | None = None) -> int:
    return (await js.publish("up.0", envelope.encode(reports, repeats))).seq


async def until(condition: Callable[[], Awaitable[Any]], what: str = "the condition") -> Any:
    """Poll until it holds. Fails after DEADLINE_S."""
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        if result := await condition():
            return result
        await asyncio.sleep(0.02)
    raise AssertionError(f"{what} did not come about within {DEADLINE_S} s")


async def watermark_reaches(pool: Any, sequence: int) -> None:
    async def reached() -> bool:
        return (await pool.fetchval("SELECT sequence FROM watermarks WHERE partition = 0") or 0) >= sequence

    await until(reached, f"watermark {sequence}")


@asynccontextmanager
async def running(worker: Worker) -> AsyncIterator[asyncio.Task[None]]:
    """The worker runs; leaving ends it after the transaction in hand."""
    task = asyncio.create_task(worker.run())
    try:
        yield task
    finally:
        worker.stop()
        await asyncio.wait_for(asyncio.gather(task, return_exceptions=True), DEADLINE_S)


def new_worker(pool: Any, js: JetStreamContext, **changed: Any) -> Worker:
    return Worker(pool, js, settings(**changed), ZONE)


async def take_all(pool: Any, js: JetStreamContext, sequence: int, **changed: Any) -> None:
    """A worker that runs until it has committed this stream sequence."""
    async with running(new_worker(pool, js, **changed)):
        await watermark_reaches(pool, sequence)


async def file_command(
    pool: Any, device: str, kind: int, arguments: dict[int, Any], expires_in_s: float = 3600, state: str = "queued"
) -> bytes:
    """As the api does; returns the id as it travels."""
    command_id = secrets.randbits(63)
    await pool.execute(
        "INSERT INTO commands (command_id, device_id, kind, arguments, state, filed_by, expires_at) "
        "SELECT $1, device_id, $3, $4::jsonb, $5, 'wang', now() + make_interval(secs => $6) "
        "FROM devices WHERE device = $2",
        command_id, device, kind, json.dumps(arguments_to_json(arguments)), state, expires_in_s,
    )  # fmt: skip
    return travelling_id(command_id)


async def state_of(pool: Any, command_id: bytes) -> str:
    return await pool.fetchval("SELECT state FROM commands WHERE command_id = $1", database_id(command_id))


async def open_letters(pool: Any) -> list[Any]:
    """Dead letters that wait, oldest first."""
    return await pool.fetch("SELECT * FROM dead_letters WHERE replayed_at IS NULL ORDER BY dead_letter_id")


async def accounts_hold(pool: Any) -> dict[str, int]:
    """The sums of the accounts, once they are seen to agree with the rows of `reports`."""
    row = dict(
        await pool.fetchrow(
            "SELECT sum(received)::int AS received, sum(stored)::int AS stored, sum(partial)::int AS partial, "
            "sum(duplicate)::int AS duplicate, sum(dead_lettered)::int AS dead_lettered, sum(repeats)::int AS repeats "
            "FROM accounting"
        )
    )
    by_outcome = dict(await pool.fetch("SELECT outcome, count(*)::int FROM reports GROUP BY outcome"))
    assert row["received"] == sum(by_outcome.values())
    for outcome in ("stored", "partial", "duplicate", "dead_lettered"):
        assert row[outcome] == by_outcome.get(outcome, 0), outcome
    return row


def open_pool(url: str) -> Any:
    return asyncpg.create_pool(url, min_size=1, max_size=4)
