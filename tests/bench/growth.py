"""Write rate against the number of readings stored: the ingest worker's own writer, at ever more history.

A city of a million meters reports hourly readings. Days are filled by sorted COPY, chunks that are old enough are
compressed as the policy does it; in between, at some sizes, the reports of a part of the city's next day go through
`ingest.writer.copy_readings` as in production: meters in random order, 2 % of rows sent again, 2 % late by up to 30
days, a transaction for each 2,000 reports. On native TimescaleDB, and on the embedded PostgreSQL, which has no chunks.

The first point is "empty": a month of a few thousand meters is there, so that late rows have somewhere to go and every
point writes the same mixture.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import numpy as np

from deploy.embedded.postgres import PostgresServer
from ingest import writer
from ingest.readings import HighWaterMarks, Int64s, ReadingTable, judge
from ingest.schema.migrate import migrate
from tests.bench.city import DAY_S, READINGS_PER_DAY, START_S, City, Rows
from tests.bench.hypertables import Meter, NotRunError, copy, timescale_database

DATABASE = "nbwater_bench_growth"
METERS = 1_000_000
TARGET_ROWS = 1_000_000_000
MINUTES = 15.0
HOT_DAYS = 3
"""Chunks that are not yet compressed while the city is filled, the day under way included."""
MEASURED_REPORTS = 60_000
REPORTS_PER_BATCH = 2_000
METERS_PER_COPY = 20_000
FILLERS = 2
SHARE = 0.02
LATE_DAYS = 30
BEFORE_METERS = 5_000
POINTS = (0, 1, 2, 4, 7, 11, 16, 22, 29, 35, 42)
"""Days of the whole city stored when the writer is measured."""
MAX_BYTES = 22 * 10**9
"""The database is let grow to this."""

Progress = Callable[[str], None]
Row = dict[str, Any]


def measure(progress: Progress, target_rows: int = TARGET_ROWS, minutes: float = MINUTES) -> Row:
    """The keys `growth.*` of bench.json, for each server the curve and `ratio`: the rate at the end over that at empty.

    `stopped_by` says what ended it: the target, the minutes, or the bytes.
    """
    return asyncio.run(_measure(progress, target_rows, minutes))


async def _measure(progress: Progress, target_rows: int, minutes: float) -> Row:
    found: Row = {}
    try:
        async with timescale_database(DATABASE) as url:
            found["timescaledb"] = await _grow(progress, url, target_rows, minutes, hypertable=True)
    except NotRunError as error:
        progress(f"growth: {error}")
        found["timescaledb"] = {"not_run": str(error)}
    async with _embedded() as url:
        found["postgresql"] = await _grow(progress, url, target_rows, minutes / 2, hypertable=False)
    return found


@asynccontextmanager
async def _embedded() -> AsyncIterator[str]:
    with tempfile.TemporaryDirectory(prefix="nbwater-growth-") as folder:
        server = PostgresServer(Path(folder) / "data", "bench")
        await asyncio.to_thread(server.start)
        try:
            await migrate(server.url("postgres"))
            yield server.url("postgres")
        finally:
            await asyncio.to_thread(server.stop)


async def _grow(progress: Progress, url: str, target_rows: int, minutes: float, *, hypertable: bool) -> Row:
    days = min(max(POINTS), round(target_rows / (METERS * READINGS_PER_DAY)))
    city, random = City(METERS, LATE_DAYS + days + 1), np.random.default_rng(5)
    until = time.monotonic() + minutes * 60
    connections = [await asyncpg.connect(url) for _ in range(FILLERS)]
    for day in range(LATE_DAYS):
        await _fill(connections, city, day, np.arange(1, BEFORE_METERS + 1))
    points: list[Row] = []
    stopped_by = ""
    for full_days in range(days + 1):
        if hypertable:
            await _compress_old(connections[0])
        size = await connections[0].fetchval("SELECT pg_database_size(current_database())")
        stopped_by = _stopped_by(full_days == days, size, until)
        order = random.permutation(city.meters) + 1
        measured = order[:MEASURED_REPORTS] if stopped_by or full_days in POINTS else order[:0]
        if len(measured):
            points.append(await _point(connections[0], city, random, full_days, measured) | {"bytes": size})
            progress("growth: " + ", ".join(f"{name} {value:,.2f}" for name, value in points[-1].items() if value))
        if stopped_by:
            break
        await _fill(connections, city, LATE_DAYS + full_days, order[len(measured) :])
    for connection in connections:
        await connection.close()
    return {
        "curve": points, "stored_rows": points[-1]["stored_rows"], "stopped_by": stopped_by,
        "ratio": points[-1]["rows_per_s"] / points[0]["rows_per_s"],
    }  # fmt: skip


def _stopped_by(reached: bool, size_bytes: int, until: float) -> str:
    """What ends the growth now; empty: nothing yet."""
    if reached:
        return "target"
    return "bytes" if size_bytes > MAX_BYTES else "minutes" if time.monotonic() > until else ""


async def _point(
    connection: asyncpg.Connection, city: City, random: np.random.Generator, full_days: int, meters: Int64s
) -> Row:
    """Write these meters' reports of the day after the full ones as the ingest worker does."""
    day, marks = LATE_DAYS + full_days, HighWaterMarks()
    marks.set(marks.unknown(meters), np.full(len(meters), START_S + day * DAY_S - 1))
    batches = [_batch(city, random, part, day) for part in np.array_split(meters, len(meters) // REPORTS_PER_BATCH)]
    stored = LATE_DAYS * BEFORE_METERS + full_days * city.meters
    await connection.execute("CHECKPOINT")
    meter = Meter(connection)
    await meter.begin()
    new = sum([await _write(connection, marks, table) for table in batches])
    cost = await meter.cost(new)
    return {
        "stored_rows": stored * READINGS_PER_DAY, "rows_per_s": cost.rows_per_s,
        "cpu_us_per_row": cost.cpu_us_per_row, "wal_bytes_per_row": cost.wal_bytes_per_row,
    }  # fmt: skip


def _batch(city: City, random: np.random.Generator, meters: Int64s, day: int) -> ReadingTable:
    meters = np.sort(meters)
    fresh = city.day(meters, day)
    extra = int(SHARE * len(fresh.ts_s))
    late = city.late(random, extra, day - LATE_DAYS, LATE_DAYS)
    yesterday = city.day(random.choice(meters, extra, replace=False), day - 1)
    one_each = random.integers(READINGS_PER_DAY, size=extra) + np.arange(extra) * READINGS_PER_DAY
    parts = [fresh, late, Rows(*(column[one_each] for column in yesterday))]
    meter_id, ts_s, index_ml = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    order = np.lexsort((ts_s, meter_id))
    meter_id, ts_s, index_ml = meter_id[order], ts_s[order], index_ml[order]
    leader = np.r_[True, (meter_id[1:] != meter_id[:-1]) | (ts_s[1:] != ts_s[:-1])]
    zeros = np.zeros(len(order), np.int64)
    return ReadingTable(zeros, meter_id, ts_s, zeros.astype(np.int16), index_ml, leader, np.cumsum(leader) - 1)


async def _write(connection: asyncpg.Connection, marks: HighWaterMarks, table: ReadingTable) -> int:
    leaders = np.flatnonzero(table.leader)
    meters, times = table.meter_id[leaders], table.ts_s[leaders]
    async with connection.transaction():
        new = marks.certainly_new(meters, times)
        existing, existing_ml = await writer.copy_readings(connection, table, leaders, new)
    verdict = judge(table, leaders, existing, existing_ml)
    marks.raise_to(table.meter_id[verdict.stored], table.ts_s[verdict.stored])
    return int(verdict.stored.sum())


async def _fill(connections: list[asyncpg.Connection], city: City, day: int, meters: Int64s) -> None:
    """The day of these meters, in order, by several connections at once."""

    async def fill(connection: asyncpg.Connection, part: Int64s) -> None:
        for start in range(0, len(part), METERS_PER_COPY):
            await copy(connection, city.day(part[start : start + METERS_PER_COPY], day))

    parts = np.array_split(np.sort(meters), len(connections))
    await asyncio.gather(*(fill(*pair) for pair in zip(connections, parts, strict=True)))


async def _compress_old(connection: asyncpg.Connection) -> None:
    """Chunks that are old enough, and those that late rows reached after they were compressed."""
    rows = await connection.fetch(
        "SELECT format('%I.%I', chunk_schema, chunk_name) AS chunk FROM timescaledb_information.chunks "
        "WHERE hypertable_name = 'readings' ORDER BY range_end DESC OFFSET $1",
        HOT_DAYS - 1,
    )
    for row in rows:
        await connection.execute("SELECT compress_chunk($1::text::regclass)", row["chunk"])
