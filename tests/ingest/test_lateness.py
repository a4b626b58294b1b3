"""A meter whose clock is three hours behind, over the real database: known after some days, whatever waits between."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

import asyncpg
import pytest

from ingest import classify
from ingest.device_clock import ALIKE
from ingest.installations import Installations
from ingest.lateness import earlier_lateness
from ingest.pipeline import Pipeline
from metering.envelope import Report
from metering.model import Authentication, ContentFormat, Door
from tests.integration.ingest_town import HOUR_S, ZONE, install, native, settings

DAY_S = 86_400
T0 = 1_790_035_200
"""00:00 UTC."""
BEHIND_S = 3 * HOUR_S + 40


@pytest.fixture
async def connection(any_database_url: str) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(any_database_url)
    yield connection
    await connection.close()


def report_of(day: int, waited_s: int = 5, behind_s: int = BEHIND_S, door: Door = Door.COAP) -> Report:
    """Of 24 hours up to 06:00 of that day by the meter's clock, sent at once."""
    sent_s = T0 + day * DAY_S + 6 * HOUR_S
    received_us = (sent_s + behind_s + waited_s) * 1_000_000
    litres = list(range(1_000 + 24 * day, 1_024 + 24 * day))
    payload = native(day, sent_s - 23 * HOUR_S, litres, k11=sent_s)
    return Report(
        day.to_bytes(16, "big"), received_us, door, Authentication.CLAIMED, "1001", ContentFormat.CBOR, payload, ""
    )


async def take(connection: Any, *batches: Sequence[Report]) -> None:
    pipeline = Pipeline(settings(), ZONE, use_copy=False)
    for batch in batches:
        async with connection.transaction():
            taken = await pipeline.take(connection, classify.prepare_reports(batch, pipeline.decoders))
        pipeline.remember(taken)


async def offsets(connection: Any) -> list[int]:
    """What was added to the times of each report, by receipt."""
    rows = await connection.fetch(
        "SELECT COALESCE((extra->>'clock_offset_s')::bigint, 0) AS by_s FROM reports ORDER BY received_at"
    )
    return [row["by_s"] for row in rows]


async def test_it_is_put_forward_once_it_is_known_and_no_longer_when_it_is_set(connection: Any) -> None:
    await install(connection, "1001")
    days = [report_of(day) for day in range(6)] + [report_of(6, waited_s=9 * HOUR_S), report_of(7)]
    await take(connection, *([report] for report in days))
    known = ALIKE - 1
    assert await offsets(connection) == [0] * known + [3 * HOUR_S] * (8 - known)
    last_s = await connection.fetchval("SELECT extract(epoch FROM max(ts))::bigint FROM readings")
    assert last_s == T0 + 7 * DAY_S + 9 * HOUR_S
    await take(connection, [report_of(8, behind_s=0)], [report_of(9, behind_s=0, waited_s=2 * HOUR_S)])
    assert (await offsets(connection))[-2:] == [0, 0]


async def test_one_batch_of_many_days_gives_what_a_batch_a_day_gives(connection: Any) -> None:
    await install(connection, "1001")
    days = [report_of(day, waited_s=60 * (day % 3)) for day in range(7)]
    await take(connection, days[:2], days[2:])
    assert await offsets(connection) == [0] * (ALIKE - 1) + [3 * HOUR_S] * (8 - ALIKE)


async def test_nothing_is_asked_where_nothing_seems_late() -> None:
    decoded = classify.prepare_reports([report_of(0, behind_s=0)]).decoded
    assert await earlier_lateness(None, decoded, Installations()) == {}


async def test_a_flush_after_an_outage_is_not_a_clock_and_a_platforms_wait_neither(connection: Any) -> None:
    await install(connection, "1001")
    flushed = [report_of(day, behind_s=0, waited_s=(9 - day) * DAY_S + 60 * day) for day in range(10)]
    await take(connection, flushed)
    assert set(await offsets(connection)) == {0}
    await connection.execute("TRUNCATE reports, readings")
    await take(connection, [report_of(day, door=Door.CTWING) for day in range(20, 28)])
    assert set(await offsets(connection)) == {0}
