"""The api as a program: settings, pools, stream, application, server. Ready says so in one JSON line on stdout."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta

import nats.errors
import structlog
import uvicorn
from fastapi import FastAPI

from api import pages
from api.accounts import FIRST_LOGIN, ensure_first_administrator
from api.app import create_app
from api.auth import Auth
from api.context import PageContext, utc_now
from api.database import ReadPool, WritePool, check_schema, open_read_pool, open_write_pool
from api.exposure import check_exposure
from api.header_limit import KEEP_ALIVE_S, MAX_CONNECTIONS, HeaderLimitedProtocol
from api.heartbeats import Heartbeats
from api.live import LiveFigures
from api.path import PathReader
from api.stream import InFlightReader
from metering.credentials import load_master_keys
from metering.errors import RequestError, StartError
from metering.heartbeat import subject as heartbeat_subject
from metering.process import ended, on_stop_signal, run_program, say
from metering.settings import (
    ApiSettings,
    BillingSettings,
    CommandSettings,
    CompletenessSettings,
    ConsumptionSettings,
    DatabaseSettings,
    FirmwareSettings,
    KeysSettings,
    NatsSettings,
    SettlementSettings,
    UtilitySettings,
    load,
)
from metering.stream_connection import connect

log = structlog.get_logger()

DRAIN_S = 5
STREAM_RETRY_S = 2.0


async def serve() -> None:
    """The process, with the settings of its environment. Raises SettingsError and StartError."""
    settings, database = load(ApiSettings), load(DatabaseSettings)
    check_exposure(settings)
    url = database.url.get_secret_value()
    if not url:
        raise StartError("no database: set NBWATER_DATABASE_URL, or use `nbwater up` for an embedded one")
    with contextlib.closing(_listen(settings)) as listener:
        async with _pools(url) as (read, write):
            await check_schema(read)
            await _first_administrator(write, settings)
            heartbeats = Heartbeats()
            context = build_context(read, write, settings, heartbeats)
            app = create_app(context)
            pages.mount(app, context)
            await _answer_requests(app, context, settings, listener, heartbeats)


@contextlib.asynccontextmanager
async def _pools(url: str) -> AsyncIterator[tuple[ReadPool, WritePool]]:
    read = await open_read_pool(url)
    try:
        write = await open_write_pool(url)
        try:
            yield read, write
        finally:
            await write.close()
    finally:
        await read.close()


def build_context(read: ReadPool, write: WritePool, settings: ApiSettings, heartbeats: Heartbeats) -> PageContext:
    """Everything routes and pages use. Its stream is not connected yet."""
    utility = load(UtilitySettings)
    silence_after = timedelta(hours=load(SettlementSettings).silence_after_h)
    stream = InFlightReader(read, load(NatsSettings).partitions)
    return PageContext(
        read=read,
        write=write,
        settings=settings,
        utility=utility,
        zone=utility.zone,
        silence_after=silence_after,
        auth=Auth(read, write, settings.session_h * 3600),
        stream=stream,
        path=PathReader(read, stream, heartbeats, utility.zone, utc_now),
        live=LiveFigures(read, zone=utility.zone, silence_after=silence_after, now=utc_now),
        session_secret=settings.session_secret.get_secret_value() or secrets.token_urlsafe(32),
        master_keys=load_master_keys(load(KeysSettings)),
        commands=load(CommandSettings),
        firmware=load(FirmwareSettings),
        consumption=load(ConsumptionSettings),
        billing=load(BillingSettings),
        completeness=load(CompletenessSettings),
    )


async def _first_administrator(write: WritePool, settings: ApiSettings) -> None:
    """The made-up password goes to stdout once and nowhere else: never into a log."""
    try:
        made_up = await ensure_first_administrator(write, settings.first_password.get_secret_value())
    except RequestError as error:
        raise StartError(f"NBWATER_API_FIRST_PASSWORD: {error}") from error
    if made_up is not None:
        say(first_password=made_up, login=FIRST_LOGIN)


def _listen(settings: ApiSettings) -> socket.socket:
    """The bound socket; so a taken port is known before anything else is done."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
        except OSError:
            listener.close()
            raise
    except OSError as error:
        raise StartError(f"cannot listen on {settings.host}:{settings.port}: {error.strerror or error}") from error
    return listener


class _Server(uvicorn.Server):
    """A server whose signals are ours: the program drains and returns its exit code."""

    def __init__(self, config: uvicorn.Config, port: int) -> None:
        super().__init__(config)
        self._port = port

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    def leave(self) -> None:
        self.should_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            say(ready="api", port=self._port, metrics_port=self._port)


async def _answer_requests(
    app: FastAPI, context: PageContext, settings: ApiSettings, listener: socket.socket, heartbeats: Heartbeats
) -> None:
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=settings.behind_tls_proxy,
        ssl_certfile=settings.tls_certificate or None,
        ssl_keyfile=settings.tls_key or None,
        timeout_graceful_shutdown=DRAIN_S,
        http=HeaderLimitedProtocol,
        timeout_keep_alive=KEEP_ALIVE_S,
        limit_concurrency=MAX_CONNECTIONS,
        h11_max_incomplete_event_size=64 * 1024,
        ws_max_size=1024 * 1024,
    )
    try:
        config.load()
    except (OSError, ValueError) as error:
        raise StartError(f"TLS certificate or key cannot be used: {error}") from error
    server = _Server(config, listener.getsockname()[1])
    on_stop_signal(server.leave)
    async with asyncio.TaskGroup() as tasks:
        beside = (
            tasks.create_task(_keep_stream(context.stream, heartbeats), name="stream"),
            tasks.create_task(context.path.watch(), name="accounting watch"),
        )
        try:
            await server.serve([listener])
        finally:
            await ended(*beside)
    if not server.started:
        raise StartError("the web server did not start; its log says why")
    log.info("api_stopped")


async def _keep_stream(reader: InFlightReader, heartbeats: Heartbeats) -> None:
    """Connects as soon as NATS is there, listens to the other programs, and stays connected; pages work without it
    meanwhile."""
    settings = load(NatsSettings)
    url = settings.url.get_secret_value()
    if not url:
        log.warning("stream_not_configured")
        return
    while reader.client is None:
        try:
            reader.client = await connect(url, "api", settings.tls_ca)
        except (OSError, TimeoutError, nats.errors.Error) as error:
            log.warning("stream_away", error=type(error).__name__)
            await asyncio.sleep(STREAM_RETRY_S)
    try:
        await reader.client.subscribe(heartbeat_subject("*"), cb=heartbeats.take)
        await asyncio.Event().wait()
    finally:
        await reader.client.close()


def main() -> int:
    """The exit code, see `run_program`."""
    return run_program("api", serve)


if __name__ == "__main__":
    sys.exit(main())
