"""A database with the platform's schema on a server with TimescaleDB, and what the benchmarks read off it."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from ingest.copy_encoding import READING_COLUMNS
from ingest.schema.migrate import migrate
from tests.bench.city import Rows
from tests.bench.databases import execute, named

URLS = ("NBWATER_TEST_TIMESCALE_URL", "NBWATER_DATABASE_URL")
NOT_RUN = f"NOT RUN: none of {', '.join(URLS)} names a server with TimescaleDB, as a user who may create databases"
CLOCK_TICKS_S = 1 / os.sysconf("SC_CLK_TCK")


class NotRunError(Exception):
    """There is no native TimescaleDB to measure on."""


@asynccontextmanager
async def timescale_database(name: str) -> AsyncIterator[str]:
    """A database of this name with all migrations and no background jobs, dropped afterwards. Raises NotRunError."""
    server = await _server()
    url = named(server, name)
    await execute(server, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
    await execute(server, f"CREATE DATABASE {name}")
    try:
        await migrate(url)
        await execute(url, "SELECT alter_job(job_id, scheduled => false) FROM timescaledb_information.jobs")
        yield url
    finally:
        await execute(server, f"DROP DATABASE {name} WITH (FORCE)")


async def _server() -> str:
    for url in filter(None, map(os.environ.get, URLS)):
        connection = await asyncpg.connect(url)
        offered = await connection.fetchval("SELECT true FROM pg_available_extensions WHERE name = 'timescaledb'")
        await connection.close()
        if offered:
            return url
    raise NotRunError(NOT_RUN)


async def copy(connection: asyncpg.Connection, rows: Rows) -> None:
    """Raw binary COPY into `readings`, a transaction of its own."""
    await connection.copy_to_table("readings", source=rows.encoded(), columns=list(READING_COLUMNS), format="binary")


async def compress_all(connection: asyncpg.Connection) -> None:
    """As the policy does it, chunk after chunk."""
    for row in await connection.fetch("SELECT c::text AS chunk FROM show_chunks('readings') c"):
        await connection.execute("SELECT compress_chunk($1::text::regclass)", row["chunk"])


@dataclass(frozen=True, slots=True)
class Cost:
    """`cpu_us_per_row`: of the server's process; None when it runs elsewhere. A write-ahead log is all clients'."""

    rows_per_s: float
    cpu_us_per_row: float | None
    wal_bytes_per_row: float


class Meter:
    """Measures what a stretch of work costs the server."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection
        self._pid = connection.get_server_pid()

    async def begin(self) -> None:
        self._wal = await self._connection.fetchval("SELECT pg_current_wal_insert_lsn()")
        self._cpu_s = _cpu_s(self._pid)
        self._began = time.perf_counter()

    async def cost(self, rows: int) -> Cost:
        """Since `begin`."""
        seconds = time.perf_counter() - self._began
        cpu_s = _cpu_s(self._pid)
        wal = await self._connection.fetchval("SELECT pg_current_wal_insert_lsn() - $1::pg_lsn", self._wal)
        used = None if cpu_s is None or self._cpu_s is None else (cpu_s - self._cpu_s) / rows * 1e6
        return Cost(rows / seconds, used, float(wal) / rows)


def _cpu_s(pid: int) -> float | None:
    """User and system seconds of a process of this machine, proc(5); None for one of another."""
    with contextlib.suppress(OSError):
        stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")
        if "postgres" in stat[0]:
            fields = stat[2].split()
            return (int(fields[11]) + int(fields[12])) * CLOCK_TICKS_S
    return None
