"""One piece of billing's work, as a process: ``python -m tests.bench.billing_work WORK URL PERIOD`` prints JSON.

Seconds by the wall clock, CPU of this process and of the backend that serves it, the highest memory of both (of the
backend its own, without what is shared), and what the backend wrote: temporary files, write-ahead log.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import asyncpg

from api.billing_export import csv_of_corrections, csv_parts, workbook
from api.billing_parquet import parquet_parts
from api.database import ReadPool, open_read_pool, open_write_pool
from api.queries.billing import close_period, get_period
from api.queries.billing_ledger import pages_of_corrections
from api.queries.billing_lines import pages_of_lines
from api.queries.billing_preview import preview_period
from api.roles import Principal, Role

ZONE = ZoneInfo("Asia/Shanghai")
SETTLEMENT_DAY = 1
WHO = Principal("bench", Role.ADMINISTRATOR, "token")
LOOK_EVERY_S = 0.05
STATISTICS_S = 1.5
"""After so long the server's statistics tell of temporary files."""
_WRITTEN = """
SELECT w.wal_bytes AS wal, d.temp_bytes AS temp FROM pg_stat_database d, pg_stat_get_backend_wal($1) w
WHERE d.datname = current_database()"""

Work = Callable[[str, str], AsyncIterator[int]]
"""Given a database and a period: first the process id of its backend, then what it made, in bytes or rows."""


async def closing(url: str, name: str) -> AsyncIterator[int]:
    pool = await open_write_pool(url, 1)
    async with pool.transaction() as connection:
        yield connection.get_server_pid()
    await close_period(pool, WHO, name, ZONE, SETTLEMENT_DAY, datetime.now(UTC), "bench")
    yield 0
    await pool.close()


def reading(made: Callable[[ReadPool, str], Awaitable[int]]) -> Work:
    async def work(url: str, name: str) -> AsyncIterator[int]:
        pool = await open_read_pool(url, 1)
        yield await pool.value("SELECT pg_backend_pid()")
        yield await made(pool, name)
        await pool.close()

    return work


async def preview(pool: ReadPool, name: str) -> int:
    return (await preview_period(pool, await get_period(pool, name), ZONE, datetime.now(UTC))).entries


async def csv(pool: ReadPool, name: str) -> int:
    parts = csv_parts(pages_of_lines(pool, await get_period(pool, name), ZONE))
    return sum([len(part.encode()) async for part in parts])


async def parquet(pool: ReadPool, name: str) -> int:
    return sum([len(part) async for part in parquet_parts(pages_of_lines(pool, await get_period(pool, name), ZONE))])


async def xlsx(pool: ReadPool, name: str) -> int:
    with await workbook(pages_of_lines(pool, await get_period(pool, name), ZONE)) as file:
        return file.seek(0, 2)


async def ledger(pool: ReadPool, name: str) -> int:
    return sum([len(part.encode()) async for part in csv_of_corrections(pages_of_corrections(pool, name, False))])


async def summary(pool: ReadPool, name: str) -> int:
    return (await get_period(pool, name)).entries


WORKS: dict[str, Work] = {"close": closing} | {
    made.__name__: reading(made) for made in (preview, csv, xlsx, parquet, ledger, summary)
}


async def measured(work: str, url: str, name: str) -> dict[str, Any]:
    beside = await asyncpg.connect(url)
    steps = WORKS[work](url, name)
    pid = await anext(steps)
    before = await beside.fetchrow(_WRITTEN, pid)
    began, cpu, backend = time.monotonic(), time.process_time(), backend_cpu_s(pid)
    async with peak_of(pid) as peak:
        made = await anext(steps)
    found = {
        "seconds": time.monotonic() - began,
        "python_cpu_s": time.process_time() - cpu,
        "backend_cpu_s": backend_cpu_s(pid) - backend,
        "python_mb": memory_mb("self", "VmHWM"),
        "backend_mb": peak[0],
        "made": made,
    }
    await asyncio.sleep(STATISTICS_S)
    after = await beside.fetchrow(_WRITTEN, pid)
    await beside.close()
    async for _ in steps:
        pass
    written = {f"{of}_mb": (float(after[of]) - float(before[of])) / 1e6 for of in ("wal", "temp")}
    return {key: round(value, 2) for key, value in (found | written).items()}


@contextlib.asynccontextmanager
async def peak_of(pid: int) -> AsyncIterator[list[float]]:
    """The highest memory of a process's own, in MB, as far as looks at it find it."""
    peak = [0.0]

    async def look() -> None:
        while True:
            peak[0] = max(peak[0], memory_mb(pid, "RssAnon"))
            await asyncio.sleep(LOOK_EVERY_S)

    looking = asyncio.create_task(look())
    try:
        yield peak
    finally:
        looking.cancel()


def memory_mb(pid: int | str, of: str) -> float:
    """A line of proc_pid_status(5). `VmHWM` is not what getrusage(2) gives: a child's counts its parent's, too."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{of}:"))


def backend_cpu_s(pid: int) -> float:
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9


if __name__ == "__main__":
    print(json.dumps(asyncio.run(measured(*sys.argv[1:4]))))
