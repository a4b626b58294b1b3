"""Real servers for the tests: nats-server and PostgreSQL once per session, fresh streams and databases per test."""

from __future__ import annotations

import asyncio
import secrets
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import nats
import pytest
from nats.js import JetStreamContext

from deploy.embedded.nats import USERS, NatsServer
from deploy.embedded.postgres import PostgresServer
from ingest.schema.migrate import migrate
from metering.streams import StreamSizes, ensure
from tests.databases import fresh_database

pytest_plugins = ["tests.timescale_fixtures"]

TEST_STREAM_BYTES = 64 * 1024 * 1024
TEMPLATE = "nbwater_template"


@pytest.fixture(scope="session")
def nats_server() -> Iterator[NatsServer]:
    directory = Path(tempfile.mkdtemp(prefix="nbwater-nats-"))
    server = NatsServer(directory, {user: secrets.token_hex(16) for user in USERS})
    server.start()
    yield server
    server.stop()
    shutil.rmtree(directory)


@pytest.fixture
async def nats_url(nats_server: NatsServer) -> str:
    """The administrator's address, after all streams were removed and made anew."""
    connection = await nats.connect(nats_server.url)
    js = connection.jetstream()
    for stream in await js.streams_info():
        await js.delete_stream(str(stream.config.name))
    await ensure(js, StreamSizes(TEST_STREAM_BYTES, registry_max_bytes=TEST_STREAM_BYTES))
    await connection.close()
    return nats_server.url


@pytest.fixture
async def js(nats_url: str) -> AsyncIterator[JetStreamContext]:
    connection = await nats.connect(nats_url)
    yield connection.jetstream(timeout=5)
    await connection.close()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """With one migrated database as template, so that a fresh one costs milliseconds."""
    directory = Path(tempfile.mkdtemp(prefix="nbwater-postgres-"))
    server = PostgresServer(directory / "data", secrets.token_hex(16), durable=False)
    server.start()
    asyncio.run(_make_template(server))
    yield server
    server.stop()
    shutil.rmtree(directory)


async def _make_template(server: PostgresServer) -> None:
    connection = await asyncpg.connect(server.url("postgres"))
    await connection.execute(f"CREATE DATABASE {TEMPLATE}")
    await connection.close()
    await migrate(server.url(TEMPLATE))


@pytest.fixture
async def database_url(postgres_server: PostgresServer) -> AsyncIterator[str]:
    """A fresh database with all migrations applied, dropped afterwards."""
    async with fresh_database(postgres_server.url("postgres"), TEMPLATE) as name:
        yield postgres_server.url(name)
