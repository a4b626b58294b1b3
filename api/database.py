"""The two ways into the database, as different types: a function that takes a ReadPool cannot write.

Foreign exceptions end here: whatever says that the database is away or too slow becomes UnavailableError, a value it
cannot hold (no text, out of range) becomes RequestError.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, TypeVar

import asyncpg
from prometheus_client import Counter

from metering.errors import RequestError, SchemaError, StartError, UnavailableError
from metering.schema_version import SCHEMA_VERSION

STATEMENT_TIMEOUT_MS = 15_000
CONNECT_TIMEOUT_S = 10.0
ACQUIRE_TIMEOUT_S = 10.0
"""A request that gets no connection for this long is refused, so that waiting requests stay bounded."""

_AWAY = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.QueryCanceledError,
    asyncpg.TooManyConnectionsError,
)

AWAY = Counter("nbwater_api_database_away_total", "Queries that the database did not answer, or not in time")

Row = TypeVar("Row")


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except _AWAY as error:
        AWAY.inc()
        raise UnavailableError(f"the database is away or too slow: {type(error).__name__}") from error
    except asyncpg.DataError as error:
        raise RequestError("a value is not one the database can hold") from error


class ReadPool:
    """Reads. Its connections are read-only, whatever the role could do."""

    def __init__(self, pool: Any) -> None:
        self._pool = pool

    async def fetch(self, row: type[Row], query: str, *values: object) -> list[Row]:
        """The rows of a query whose columns are the fields of the dataclass `row`."""
        with _translated():
            async with self._pool.acquire(timeout=ACQUIRE_TIMEOUT_S) as connection:
                return [row(**record) for record in await connection.fetch(query, *values)]

    async def fetch_one(self, row: type[Row], query: str, *values: object) -> Row | None:
        with _translated():
            async with self._pool.acquire(timeout=ACQUIRE_TIMEOUT_S) as connection:
                record = await connection.fetchrow(query, *values)
        return None if record is None else row(**record)

    async def records(self, query: str, *values: object) -> list[Any]:
        """Plain records, for rows that need more than a change of type."""
        with _translated():
            async with self._pool.acquire(timeout=ACQUIRE_TIMEOUT_S) as connection:
                found: list[Any] = await connection.fetch(query, *values)
        return found

    async def value(self, query: str, *values: object) -> Any:
        with _translated():
            async with self._pool.acquire(timeout=ACQUIRE_TIMEOUT_S) as connection:
                return await connection.fetchval(query, *values)

    async def close(self) -> None:
        await self._pool.close()


class WritePool:
    """Writes what people decide, in transactions."""

    def __init__(self, pool: Any) -> None:
        self._pool = pool

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Any]:
        """A connection inside a transaction that commits when the block ends without an exception."""
        with _translated():
            async with self._pool.acquire(timeout=ACQUIRE_TIMEOUT_S) as connection, connection.transaction():
                yield connection

    async def close(self) -> None:
        await self._pool.close()


async def open_read_pool(url: str, size: int = 8) -> ReadPool:
    # A plan over many chunks looks dear to the server: it would compile it for longer than it runs.
    return ReadPool(await _pool(url, size, {"default_transaction_read_only": "on", "jit": "off"}))


async def open_write_pool(url: str, size: int = 2) -> WritePool:
    return WritePool(await _pool(url, size, {}))


async def _pool(url: str, size: int, settings: dict[str, str]) -> Any:
    try:
        return await asyncpg.create_pool(
            url,
            min_size=1,
            max_size=size,
            timeout=CONNECT_TIMEOUT_S,
            server_settings={
                "application_name": "nbwater-api",
                "statement_timeout": str(STATEMENT_TIMEOUT_MS),
                "timezone": "UTC",
                **settings,
            },
        )
    except (OSError, TimeoutError, ValueError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise StartError(f"cannot connect to the database: {str(error) or type(error).__name__}") from error


async def schema_version(pool: ReadPool) -> int:
    """The newest migration the database has; 0 when none was ever applied."""
    try:
        version = await pool.value("SELECT max(version) FROM schema_migrations")
    except asyncpg.UndefinedTableError:
        return 0
    return int(version or 0)


async def check_schema(pool: ReadPool) -> None:
    """Raises SchemaError unless the database has exactly the schema of this release."""
    found = await schema_version(pool)
    if found < SCHEMA_VERSION:
        raise SchemaError(
            f"the database has schema {found}, this program needs {SCHEMA_VERSION}: run `nbwater migrate`"
        )
    if found > SCHEMA_VERSION:
        raise SchemaError(f"the database has schema {found}, this program knows only {SCHEMA_VERSION}: update nbwater")
