"""The stream and the database that the programs of one data directory use: embedded ones, or those of the settings."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import nats.errors

from deploy.accounts import LOGINS, Accounts, login_name, make_logins
from deploy.embedded.mqtt_listener import MqttListener
from deploy.embedded.nats import ADMIN, PUBLISH_RIGHTS, NatsServer
from deploy.embedded.ports import free_tcp_port
from deploy.embedded.postgres import PostgresServer
from deploy.embedded.server import EmbeddedServer
from deploy.programs import NICENESS
from deploy.supervision.child import Spec, Tell
from deploy.supervision.leftovers import forget_stale_postmaster
from ingest.schema.migrate import migrate
from metering.errors import StartError
from metering.settings import MqttSettings, NatsSettings, load
from metering.stream_connection import connect
from metering.streams import StreamSizes, ensure

DATABASE = "nbwater"
CANNOT_STORE = "[ERR] JetStream failed to store"
"""After one write that failed, of a full disk for instance, nats-server stores nothing more in that stream, also when
there is room again, and calls itself healthy; started again it does."""
CONNECT_TIMEOUT_S = 10
CONNECT_ATTEMPTS = 2
CONNECT_PAUSE_S = 0.3
POOL_SIZE = 4
NATS_STORE_SPARE_BYTES = 1 << 30
"""Of the store, beside what the streams may hold and the report stream's bound once more."""


@dataclass(frozen=True, slots=True)
class Stream:
    """`urls` has one for `admin` and each program. `spec` None: it runs elsewhere."""

    urls: Mapping[str, str]
    monitor_url: str
    spec: Spec | None
    mqtt: MqttListener | None = None


@dataclass(frozen=True, slots=True)
class Database:
    """`urls` has one for `owner`, each program that may use it, and `reader`. `spec` None: it runs elsewhere."""

    urls: Mapping[str, str]
    spec: Spec | None
    server: PostgresServer | None


def embedded_stream(data: Path, accounts: Accounts, settings: NatsSettings, mqtt_port: int) -> Stream:
    mqtt = load(MqttSettings)
    listener = MqttListener(
        mqtt.host, mqtt_port or free_tcp_port(), accounts.mqtt["password"], accounts.mqtt["callout_secret"],
        mqtt.tls_certificate, mqtt.tls_key, mqtt.max_inflight,
    )  # fmt: skip
    server = NatsServer(
        data / "nats",
        accounts.nats,
        max_file_store=_sizes(settings).total_bytes + settings.up_max_bytes + NATS_STORE_SPARE_BYTES,
        mqtt=listener,
    )
    server.prepare()
    urls = {user: server.url_for(user) for user in (ADMIN, *PUBLISH_RIGHTS)}
    return Stream(urls, server.monitor_url, replace(_spec("nats", server), broken=CANNOT_STORE), listener)


def external_stream(settings: NatsSettings) -> Stream:
    """Every program gets the credentials of the settings: rights on a server of others are theirs to give."""
    url = settings.url.get_secret_value()
    return Stream(dict.fromkeys((ADMIN, *PUBLISH_RIGHTS), url), settings.monitor_url, None)


def embedded_database(data: Path, accounts: Accounts, tell: Tell) -> Database:
    server = PostgresServer(data / "postgres", accounts.database_owner, tell=tell)
    try:
        server.prepare()
    except OSError as error:
        raise StartError(f"PostgreSQL cannot use {server.directory}: {error}") from error
    spec = _spec("postgres", server, before_start=lambda: forget_stale_postmaster(server.directory))
    urls = {program: server.url(DATABASE, login_name(program), accounts.database[program]) for program in LOGINS}
    return Database({"owner": server.url(DATABASE)} | urls, spec, server)


def external_database(url: str) -> Database:
    """As `external_stream`."""
    return Database(dict.fromkeys(("owner", *LOGINS), url), None, None)


async def prepare_stream(stream: Stream, settings: NatsSettings) -> None:
    """Bring the streams to their contract. Raises StartError when the server cannot be reached or refuses."""
    await ensure_streams(stream.urls[ADMIN], settings)


async def ensure_streams(url: str, settings: NatsSettings) -> None:
    """As `prepare_stream`, for a server named by its address."""
    reasons: list[Exception] = []

    async def note(error: Exception) -> None:
        reasons.append(error)

    try:
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            connection = await connect(
                url,
                ADMIN,
                settings.tls_ca,
                error_cb=note,
                allow_reconnect=False,
                max_reconnect_attempts=CONNECT_ATTEMPTS,
                reconnect_time_wait=CONNECT_PAUSE_S,
            )
    except (OSError, TimeoutError, nats.errors.Error) as error:
        reason = reasons[-1] if reasons else error
        raise StartError(f"NATS at {place(url)} cannot be reached: {reason or type(reason).__name__}") from error
    try:
        await ensure(connection.jetstream(), _sizes(settings))
    except (TimeoutError, nats.errors.Error) as error:
        raise StartError(
            f"NATS at {place(url)} does not make the streams: {str(error) or type(error).__name__}"
        ) from error
    finally:
        await connection.close()


def _sizes(settings: NatsSettings) -> StreamSizes:
    return StreamSizes(settings.up_max_bytes, replicas=settings.replicas, mqtt_max_bytes=settings.mqtt_max_bytes)


async def prepare_database(database: Database, accounts: Accounts) -> list[str]:
    """Create, migrate, make logins; names of the migrations applied. Raises StartError or SchemaError."""
    if database.server is not None:
        await _create_database(database.server)
    try:
        applied = await migrate(database.urls["owner"])
    except StartError as error:
        raise type(error)(f"{error} (database at {place(database.urls['owner'])})") from error
    if database.server is not None:
        connection = await connect_database(database.urls["owner"])
        try:
            await make_logins(connection, DATABASE, accounts.database)
        finally:
            await connection.close()
    return applied


async def connect_database(url: str) -> asyncpg.Connection:
    """Raises StartError when the server cannot be reached or refuses the login."""
    try:
        return await asyncpg.connect(url, timeout=CONNECT_TIMEOUT_S)
    except (OSError, TimeoutError, ValueError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise StartError(
            f"the database at {place(url)} cannot be reached: {str(error) or type(error).__name__}"
        ) from error


@asynccontextmanager
async def locked_transaction(url: str, lock: Callable[[Any], Awaitable[None]]) -> AsyncIterator[Any]:
    """A connection of its own within a transaction that holds the lock: what people do at once queues."""
    connection = await connect_database(url)
    try:
        async with connection.transaction():
            await lock(connection)
            yield connection
    finally:
        await connection.close()


@asynccontextmanager
async def database_pool(url: str) -> AsyncIterator[Any]:
    """A few connections. Raises StartError as `connect_database`."""
    await (await connect_database(url)).close()
    async with asyncpg.create_pool(url, min_size=1, max_size=POOL_SIZE) as pool:
        yield pool


async def _create_database(server: PostgresServer) -> None:
    connection = await connect_database(server.url("postgres"))
    try:
        if not await connection.fetchval("SELECT true FROM pg_database WHERE datname = $1", DATABASE):
            await connection.execute(f"CREATE DATABASE {DATABASE}")
            await connection.execute(f"REVOKE ALL ON DATABASE {DATABASE} FROM PUBLIC")
            await connection.execute("REVOKE ALL ON DATABASE postgres FROM PUBLIC")
    finally:
        await connection.close()


def place(url: str) -> str:
    """Host, port and database of an address, never its credentials."""
    places = []
    for one in url.split(","):
        parts = urlsplit(one)
        places.append(f"{one.rpartition('@')[2]}" if not parts.netloc else parts.netloc.rpartition("@")[2] + parts.path)
    return ", ".join(places)


def _spec(name: str, server: EmbeddedServer, before_start: Callable[[], None] | None = None) -> Spec:
    return Spec(
        name=name,
        command=server.command(),
        environment=_plain_environment(),
        identity=server.identity,
        probe=server.is_ready,
        before_start=before_start,
        stop_signal=server.stop_signal,
        stop_timeout_s=server.stop_timeout_s,
        start_timeout_s=server.start_timeout_s,
        orphan_signal=server.stop_signal,
        niceness=NICENESS if name == "postgres" else 0,
    )


def _plain_environment() -> dict[str, str]:
    """For servers: nothing of ours, no secret."""
    kept = ("PATH", "HOME", "LANG", "TZ", "TMPDIR", "LD_LIBRARY_PATH")
    return {name: os.environ[name] for name in kept if name in os.environ}
