"""The spool of a real gateway process: the stream stops, the gateway dies, the disk has no room."""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import nats
import pytest

from deploy.embedded.nats import USERS, NatsServer
from metering.streams import StreamSizes, ensure
from tests.conftest import TEST_STREAM_BYTES
from tests.gateway.conftest import ENTRIES, stored, until, write_snapshot
from tests.gateway.push.conftest import PushGateway, StartPush, body_of

PUSHES = 60


@pytest.fixture
async def own_nats() -> AsyncIterator[NatsServer]:
    """A server of this test's own, which may be stopped."""
    directory = Path(tempfile.mkdtemp(prefix="nbwater-nats-"))
    server = NatsServer(directory, {user: secrets.token_hex(16) for user in USERS})
    await asyncio.to_thread(server.start)
    connection = await nats.connect(server.url)
    await ensure(connection.jetstream(), StreamSizes(TEST_STREAM_BYTES, registry_max_bytes=TEST_STREAM_BYTES))
    await write_snapshot(connection.jetstream(), ENTRIES)
    await connection.close()
    yield server
    await asyncio.to_thread(server.stop)
    shutil.rmtree(directory)


async def in_stream(server: NatsServer) -> list[tuple[bytes, bytes]]:
    """Id and payload of every report."""
    connection = await nats.connect(server.url)
    try:
        return [(report.report_id, report.payload) for report in await stored(connection.jetstream(timeout=5))]
    finally:
        await connection.close()


async def push_many(push: PushGateway, numbers: range) -> list[int]:
    limits = httpx.Limits(max_connections=20)
    async with httpx.AsyncClient(timeout=60, limits=limits) as client:
        answers = await asyncio.gather(*(client.post(push.url, content=body_of(number)) for number in numbers))
    return [answer.status_code for answer in answers]


def frozen(server: NatsServer) -> int:
    """The process of a server that is stopped in its tracks."""
    assert server.process is not None
    os.kill(server.process.pid, signal.SIGSTOP)
    return server.process.pid


async def test_a_stream_that_says_nothing_costs_nothing(own_nats: NatsServer, start_push: StartPush) -> None:
    """200 from the spool; all in the stream, once and in order, when that goes on."""
    push = await start_push(gateway={"nats": own_nats, "publish_timeout_s": 1}, deadline_s=2)
    assert await push.post(body_of(0)) == 200
    pid = frozen(own_nats)
    try:
        assert await push_many(push, range(1, PUSHES)) == [200] * (PUSHES - 1)
        assert await push.metric("spool_bytes") > 0
        assert 1 <= await push.metric("spool_fsyncs") < PUSHES
    finally:
        os.kill(pid, signal.SIGCONT)

    async def drained() -> bool:
        return await push.metric("spool_bytes") == 0

    await until(drained)
    reports = dict(await in_stream(own_nats))
    assert sorted(reports.values()) == sorted(body_of(number) for number in range(PUSHES))
    assert not list(push.directory.glob("*.spool"))
    assert await push.post(body_of(1000)) == 200


async def test_what_was_answered_survives_the_gateways_death(own_nats: NatsServer, start_push: StartPush) -> None:
    push = await start_push(gateway={"nats": own_nats, "publish_timeout_s": 1}, deadline_s=2)
    pid = frozen(own_nats)
    try:
        assert await push_many(push, range(PUSHES)) == [200] * PUSHES
        push.gateway.process.kill()
        await push.gateway.process.wait()
        newest = max(push.directory.glob("*.spool"))
        with newest.open("ab") as file:
            file.write(b"\0\0\x01\0half a record")
    finally:
        os.kill(pid, signal.SIGCONT)
    again = await start_push(gateway={"nats": own_nats, "publish_timeout_s": 1}, deadline_s=2)

    async def drained() -> bool:
        return await again.metric("spool_bytes") == 0

    await until(drained)
    reports = await in_stream(own_nats)
    assert {payload for _, payload in reports} == {body_of(number) for number in range(PUSHES)}
    assert len({report_id for report_id, _ in reports}) == PUSHES
    assert await again.metric("spool_torn") == 1


async def test_a_full_spool_says_so_and_goes_on_later(own_nats: NatsServer, start_push: StartPush) -> None:
    push = await start_push(gateway={"nats": own_nats, "publish_timeout_s": 1}, deadline_s=2, spool_max_bytes=1 << 16)
    pid = frozen(own_nats)
    try:
        answers = []
        for start in range(0, 400, 100):
            answers += await push_many(push, range(start, start + 100))
        assert set(answers) == {200, 503}
        assert await push.metric("spool_bytes") <= 1 << 16
    finally:
        os.kill(pid, signal.SIGCONT)

    async def taken() -> bool:
        return await push.post(body_of(1000)) == 200 and await push.metric("spool_bytes") == 0

    await until(taken)
    payloads = {payload for _, payload in await in_stream(own_nats)}
    assert {body_of(number) for number, status in enumerate(answers) if status == 200} <= payloads
