"""What the two programs of this package, ingest and settlement, do alike: connect patiently, serve, end in order."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Protocol, TypeVar

import asyncpg
import nats.errors
import structlog

from metering.errors import SettingsError
from metering.process import ended, on_stop_signal
from metering.telemetry import TelemetryServer

from .schema.migrate import check

log = structlog.get_logger()

CONNECT_TIMEOUT_S = 10.0
RETRY_S = 1.0

DEAD_PEER = {"tcp_keepalives_idle": "10", "tcp_keepalives_interval": "5", "tcp_keepalives_count": "3"}
"""The server lets go of a program's locks within half a minute when its host is gone without a word."""

T = TypeVar("T")


class Stage(Protocol):
    """What runs beside others in one process."""

    async def run(self) -> None:
        """Until cancelled."""


async def serve_until_stopped(
    telemetry: TelemetryServer,
    stop: asyncio.Event,
    serve: Callable[[int], Awaitable[None]],
    drains: Callable[[], bool],
) -> None:
    """Run `serve` (given the metrics port) until it ends; `stop` is set at SIGTERM or SIGINT.

    `drains`: whether `serve` has begun its work and ends it in order by itself; before that it is cancelled. Raises
    what `serve` raises.
    """
    on_stop_signal(stop.set)
    metrics_port = await telemetry.start()
    serving = asyncio.ensure_future(serve(metrics_port))
    stopping = asyncio.create_task(stop.wait(), name="stop")
    await asyncio.wait((serving, stopping), return_when=asyncio.FIRST_COMPLETED)
    if not drains():
        await ended(serving)
    stopping.cancel()
    outcome = (await asyncio.gather(serving, stopping, return_exceptions=True))[0]
    await telemetry.stop()
    if isinstance(outcome, Exception):
        raise outcome


async def open_pool(url: str, program: str, connections: int, **server_settings: str) -> Any:
    """A pool on a database of this program's schema. Raises SchemaError, and what `patiently` waits out."""
    pool = await asyncpg.create_pool(
        url,
        min_size=1,
        max_size=connections,
        timeout=CONNECT_TIMEOUT_S,
        server_settings=_server_settings(program) | server_settings,
    )
    async with pool.acquire() as connection:
        await check(connection)
    return pool


async def close_pool(pool: Any) -> None:
    try:
        await asyncio.wait_for(pool.close(), CONNECT_TIMEOUT_S)
    except TimeoutError:
        pool.terminate()


async def connect(url: str, program: str, **server_settings: str) -> Any:
    """A connection outside of any pool."""
    return await asyncpg.connect(
        url, timeout=CONNECT_TIMEOUT_S, server_settings=_server_settings(program) | server_settings
    )


def _server_settings(program: str) -> dict[str, str]:
    return {"application_name": f"nbwater-{program}", "jit": "off"} | DEAD_PEER


async def patiently(what: str, attempt: Callable[[], Awaitable[T]]) -> T:
    """Try until it is there. Refusals of ours (schema, contract) and wrong credentials are not waited out."""
    while True:
        try:
            return await attempt()
        except (asyncpg.InvalidAuthorizationSpecificationError, asyncpg.InvalidCatalogNameError) as error:
            raise SettingsError(f"the {what} refuses us: {error}") from error
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, nats.errors.Error) as error:
            log.warning("waiting_for", what=what, error=type(error).__name__, detail=str(error)[:200])
            await asyncio.sleep(RETRY_S)
