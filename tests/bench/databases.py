"""Databases that a benchmark makes and drops, on a server that is given or on an embedded one of its own."""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg

from deploy.embedded.postgres import PostgresServer


@contextmanager
def server(given: str | None) -> Iterator[str]:
    """The server's address, of any database on it. The embedded one syncs as in production, and ends with the block."""
    if given is not None:
        yield given
        return
    with tempfile.TemporaryDirectory(prefix="nbwater-bench-") as folder:
        own = PostgresServer(Path(folder) / "data", secrets.token_hex(16))
        own.start()
        try:
            yield own.url("postgres")
        finally:
            own.stop()


@asynccontextmanager
async def own_database(given: str | None) -> AsyncIterator[str]:
    """A new, empty database on `server(given)`, dropped with the block."""
    with server(given) as address:
        name = f"nbwater_bench_{secrets.token_hex(4)}"
        await execute(address, f"CREATE DATABASE {name}")
        try:
            yield named(address, name)
        finally:
            await execute(address, f"DROP DATABASE {name} WITH (FORCE)")


def named(address: str, database: str) -> str:
    """The address of another database on the same server."""
    return urlsplit(address)._replace(path=f"/{database}").geturl()


async def execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
