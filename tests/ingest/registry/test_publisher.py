"""From a change in the database to the feed and the snapshot, on real NATS and PostgreSQL."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import asyncpg
import pytest
from nats.js import JetStreamContext
from nats.js.errors import APIError

from ingest.registry import publisher as module
from ingest.registry.publisher import RegistryPublisher, Term, leads_to
from ingest.registry.snapshot import Feed, Snapshot, newest_snapshot, write_snapshot
from metering.registry import ENABLED, FEED_POSITION_HEADER, SNAPSHOT_OBJECT, RegistryEntry, decode_entries
from metering.stream_connection import connect
from metering.streams import REGISTRY_STREAM, SNAPSHOT_BUCKET

DEADLINE_S = 20


async def eventually(probe: Callable[[], Awaitable[object]]) -> object:
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        if found := await probe():
            return found
        await asyncio.sleep(0.05)
    raise AssertionError("did not happen")


@pytest.fixture
async def connection(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


@pytest.fixture
async def running(database_url: str, js: JetStreamContext) -> AsyncIterator[None]:
    async with asyncpg.create_pool(database_url, min_size=1, max_size=2) as pool:
        task = asyncio.create_task(RegistryPublisher(pool, js).run())
        yield
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def feed(js: JetStreamContext, after: int = 0) -> list[tuple[int, RegistryEntry]]:
    last = (await js.stream_info(REGISTRY_STREAM)).state.last_seq
    found = []
    for sequence in range(after + 1, last + 1):
        message = await js.get_msg(REGISTRY_STREAM, sequence)
        found += [(sequence, entry) for entry in decode_entries(message.data)]
    return found


async def snapshot(js: JetStreamContext) -> tuple[int, list[RegistryEntry]] | None:
    if await newest_snapshot(js) is None:
        return None
    store = await js.object_store(SNAPSHOT_BUCKET)
    result = await asyncio.wait_for(store.get(SNAPSHOT_OBJECT), DEADLINE_S)
    return int(result.info.headers[FEED_POSITION_HEADER]), decode_entries(result.data)


async def install(connection: asyncpg.Connection, serial: str, imei: str | None) -> None:
    await connection.execute(
        """
        WITH p AS (INSERT INTO service_points DEFAULT VALUES RETURNING service_point_id),
             m AS (INSERT INTO meters (serial) VALUES ($1) RETURNING meter_id),
             d AS (INSERT INTO devices (device, imei, plain_sources)
                   VALUES (COALESCE($2, $1), $2, '{10.0.0.0/8,::1/128}') RETURNING device_id)
        INSERT INTO installations (service_point_id, meter_id, device_id, valid_from)
        SELECT service_point_id, meter_id, device_id, '2026-01-01Z' FROM p, m, d
        """,
        serial, imei,
    )  # fmt: skip


async def test_an_empty_registry_has_a_snapshot_at_once(js: JetStreamContext, running: None) -> None:
    assert await eventually(lambda: snapshot(js)) == (0, [])


async def test_a_change_reaches_the_feed_and_leaves_the_outbox(
    js: JetStreamContext, connection: asyncpg.Connection, running: None
) -> None:
    await install(connection, "20260000001234", "861234567890123")
    entry = RegistryEntry("861234567890123", ("861234567890123", "20260000001234"), ("10.0.0.0/8", "::1/128"), ENABLED)

    async def arrived() -> bool:
        return entry in [entry for _, entry in await feed(js)]

    async def taken() -> bool:
        return await connection.fetchval("SELECT count(*) = 0 FROM outbox")

    await eventually(arrived)
    await eventually(taken)


async def test_a_removed_device_has_no_flags(
    js: JetStreamContext, connection: asyncpg.Connection, running: None
) -> None:
    await connection.execute("INSERT INTO devices (device) VALUES ('861')")
    await connection.execute("DELETE FROM devices")

    async def gone() -> bool:
        entries = [entry for _, entry in await feed(js)]
        return bool(entries) and entries[-1] == RegistryEntry("861", ("861",), (), 0)

    await eventually(gone)


async def test_a_snapshot_contains_what_its_position_names(
    js: JetStreamContext, connection: asyncpg.Connection
) -> None:
    term = Term(connection, js)
    await term.begin()
    for number in range(5):
        await install(connection, f"serial{number}", None)
        while await term.round():
            pass
    await install(connection, "later", None)
    written = await write_snapshot(connection, js)
    position, entries = await snapshot(js)
    published = {entry.device for sequence, entry in await feed(js) if sequence <= position}
    assert (position, written.entries) == (5, 6)
    assert published < {entry.device for entry in entries}
    await term.round()
    assert [entry.device for _, entry in await feed(js, after=position)] == ["later"]


async def test_a_crash_before_the_delete_repeats_the_same_entries(
    js: JetStreamContext, connection: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    await install(connection, "20260000001234", None)
    first = Term(connection, js)
    await first.begin()
    await first._publish(await module.entries_of(connection, ["20260000001234"]))
    second = Term(connection, js)
    await second.begin()
    assert await second.round()
    (one, again) = await feed(js)
    assert one[1] == again[1]
    assert await connection.fetchval("SELECT count(*) FROM outbox") == 0


async def test_an_old_holder_cannot_publish_after_a_new_one(
    js: JetStreamContext, connection: asyncpg.Connection
) -> None:
    old, new = Term(connection, js), Term(connection, js)
    await old.begin()
    await new.begin()
    await connection.execute("INSERT INTO devices (device) VALUES ('861')")
    stale = await module.entries_of(connection, ["861"])
    await new.round()
    with pytest.raises(APIError, match="wrong last sequence"):
        await old._publish(stale)


async def test_only_one_worker_publishes_and_the_next_takes_over(
    database_url: str, js: JetStreamContext, connection: asyncpg.Connection
) -> None:
    async with asyncpg.create_pool(database_url, min_size=1, max_size=2) as pool:
        tasks = [asyncio.create_task(RegistryPublisher(pool, js).run()) for _ in range(2)]

        async def holders() -> int:
            return await connection.fetchval("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted")

        await eventually(holders)
        assert await holders() == 1
        await connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted"
        )
        await connection.execute("INSERT INTO devices (device) VALUES ('861')")

        async def arrived() -> bool:
            return bool(await feed(js))

        await eventually(arrived)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_large_backlog_renews_the_snapshot(
    js: JetStreamContext, connection: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SNAPSHOT_AFTER_ENTRIES", 12_000)
    term = Term(connection, js)
    await term.begin()
    await connection.execute(
        "INSERT INTO devices (device) SELECT to_char(n, 'FM000000') FROM generate_series(1, 12000) n"
    )
    while await term.round():
        pass
    position, entries = await snapshot(js)
    assert len({entry.device for _, entry in await feed(js)}) == len(entries) == 12_000
    assert position == (await js.stream_info(REGISTRY_STREAM)).state.last_seq


async def test_a_feed_made_anew_needs_a_new_snapshot(js: JetStreamContext, connection: asyncpg.Connection) -> None:
    await Term(connection, js).begin()
    before = await newest_snapshot(js)
    config = (await js.stream_info(REGISTRY_STREAM)).config
    await js.delete_stream(REGISTRY_STREAM)
    await js.add_stream(config)
    await Term(connection, js).begin()
    after = await newest_snapshot(js)
    assert before.created != after.created


@pytest.mark.parametrize(
    ("position", "feed", "expected"),
    [
        (0, Feed("a", 0, 0), True),
        (0, Feed("a", 1, 7), True),
        (7, Feed("a", 8, 7), True),
        (3, Feed("a", 5, 7), False),
        (8, Feed("a", 1, 7), False),
        (3, Feed("b", 1, 7), False),
    ],
)
def test_what_leads_to_the_feed(position: int, feed: Feed, expected: bool) -> None:
    assert leads_to(Snapshot("a", position, 0, 0), feed) is expected


async def test_the_role_of_ingest_suffices(nats_server, js: JetStreamContext, connection: asyncpg.Connection) -> None:
    client = await connect(nats_server.url_for("ingest"), "ingest")
    await connection.execute("INSERT INTO devices (device) VALUES ('861')")
    await connection.execute("SET ROLE nbwater_ingest")
    term = Term(connection, client.jetstream(timeout=5))
    await term.begin()
    assert await term.round() == 1
    await term._snapshot()
    await client.close()
