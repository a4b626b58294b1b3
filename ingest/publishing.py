"""One of several ingest processes publishes, the others stand by: whoever holds an advisory lock of the database."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg
import nats.errors
import structlog

RETRY_S = 2.0

_log = structlog.get_logger()


async def publish_alone(pool: Any, lock: int, name: str, publish: Callable[[Any], Awaitable[None]]) -> None:
    """`publish`, on the connection that holds the lock, again whenever it returns or fails; until cancelled.

    What is away (database, NATS) is waited for. `name` stands in the log."""
    while True:
        try:
            async with pool.acquire() as connection:
                if await connection.fetchval("SELECT pg_try_advisory_lock($1)", lock):
                    await _publish_and_unlock(connection, lock, publish)
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, nats.errors.Error) as error:
            _log.warning(f"{name} publisher stopped and will try again", error=str(error) or type(error).__name__)
        await asyncio.sleep(RETRY_S)


async def _publish_and_unlock(connection: Any, lock: int, publish: Callable[[Any], Awaitable[None]]) -> None:
    try:
        await publish(connection)
    finally:
        with contextlib.suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            await connection.execute("SELECT pg_advisory_unlock($1)", lock)
