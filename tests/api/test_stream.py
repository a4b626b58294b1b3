"""Reports in flight, counted on a real NATS with the api's own rights."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest
from nats.js import JetStreamContext

import api.stream
from api.database import ReadPool
from api.stream import InFlight, InFlightReader
from deploy.embedded.nats import NatsServer
from metering.envelope import REPORTS_HEADER
from metering.stream_connection import connect
from metering.streams import COUNTERS, UP_STREAM, up_subject


async def put(js: JetStreamContext, *reports: int, partition: int = 0) -> None:
    for count in reports:
        await js.publish(up_subject(partition), b"x" * 100, headers={REPORTS_HEADER: str(count)})


@pytest.fixture
async def reader(nats_server: NatsServer, nats_url: str, read: ReadPool, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(api.stream, "CACHE_S", -1.0)
    reader = InFlightReader(read, partitions=2)
    reader.client = await connect(nats_server.url_for("api"), "api")
    yield reader
    await reader.client.close()


def counted(found: InFlight) -> tuple[int | None, int | None, bool]:
    return found.reports, found.batches, found.at_least


async def test_an_empty_stream_has_nothing_in_flight(reader: InFlightReader) -> None:
    assert counted(await reader.in_flight()) == (0, 0, False)
    assert await reader.stream_answers()


async def test_reports_above_the_watermark_are_counted(
    reader: InFlightReader, js: JetStreamContext, database_url: str
) -> None:
    await put(js, 10, 20, 30)
    await put(js, 7, partition=1)
    assert counted(await reader.in_flight()) == (67, 4, False)
    created = (await js.stream_info(UP_STREAM)).created
    connection = await asyncpg.connect(database_url)
    await connection.execute("INSERT INTO watermarks (partition, stream_created, sequence) VALUES (0, $1, 2)", created)
    assert counted(await reader.in_flight()) == (37, 2, False)
    await connection.execute("UPDATE watermarks SET stream_created = '2020-01-01'")
    assert counted(await reader.in_flight()) == (67, 4, False), (
        "a watermark of another life of the stream counts nothing"
    )
    await connection.close()


async def test_a_count_is_bounded(
    reader: InFlightReader, js: JetStreamContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    await put(js, 10, 20, 30)
    monkeypatch.setattr(api.stream, "MAX_HEADERS", 2)
    assert counted(await reader.in_flight()) == (30, 2, True)


async def test_without_nats_it_is_unknown(read: ReadPool) -> None:
    reader = InFlightReader(read, partitions=1)
    assert counted(await reader.in_flight()) == (None, None, False)
    assert not await reader.stream_answers()


async def test_callers_at_the_same_time_share_one_count(
    reader: InFlightReader, js: JetStreamContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api.stream, "CACHE_S", 60.0)
    found = await asyncio.gather(*(reader.in_flight() for _ in range(5)))
    assert len({id(one) for one in found}) == 1


async def test_a_count_makes_no_consumer_and_can_be_repeated(reader: InFlightReader, js: JetStreamContext) -> None:
    await put(js, 1, 2)
    for _ in range(2 * len(COUNTERS)):
        assert counted(await reader.in_flight()) == (3, 2, False)
    assert (await js.stream_info(UP_STREAM)).state.consumer_count == len(COUNTERS)
