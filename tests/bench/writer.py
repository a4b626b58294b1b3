"""Bulk writer: rows/s with 2 % duplicates and 2 % late rows in the input, beside raw binary COPY of the same rows.

Both write the same readings into the same table with its primary key, in turns, in one run. The raw side gets every
row once, ready encoded, in the same batches; ours has to find out which rows are new. Each batch is a transaction.

Measured on NBWATER_DATABASE_URL's server, else on an embedded one, and on NBWATER_TEST_TIMESCALE_URL's as well. On
TimescaleDB once more with 30 days before, compressed, into which the late rows go (`compressed_…`).
"""

from __future__ import annotations

import asyncio
import os
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass

import asyncpg
import numpy as np

from ingest import writer
from ingest.copy_encoding import READING_COLUMNS, encode_readings
from ingest.readings import HighWaterMarks, Int64s, ReadingTable, judge
from ingest.schema.migrate import migrate
from tests.bench.databases import own_database

METERS = 20_000
READINGS = 24
DAYS = 4
REPORTS_PER_BATCH = 2_000
SHARE = 0.02
LATE_DAYS = 30
ROUNDS = 3
START_S = 1_767_225_600
HOUR_S = 3600


@dataclass(frozen=True, slots=True)
class Input:
    """Rows of one batch. `again` are duplicates of rows that came before."""

    meter_id: Int64s
    ts_s: Int64s
    again: np.ndarray[tuple[int], np.dtype[np.bool_]]

    @property
    def index_ml(self) -> Int64s:
        return (self.ts_s - START_S) * 7 + self.meter_id * 1_000_003 + 10**12


def batches(seed: int) -> Iterator[Input]:
    """Daily reports in the order in which meters send them, with rows that repeat and rows that come late."""
    random = np.random.default_rng(seed)
    hours = np.arange(READINGS) * HOUR_S
    for day in range(DAYS):
        meters = random.permutation(METERS) + 1
        for start in range(0, METERS, REPORTS_PER_BATCH):
            chosen = meters[start : start + REPORTS_PER_BATCH]
            meter_id = np.repeat(chosen, READINGS)
            ts_s = START_S + day * 86_400 + np.tile(hours, len(chosen))
            extra = int(SHARE * len(meter_id))
            late = _late(random, chosen, extra, START_S + day * 86_400)
            parts_m, parts_t, again = [meter_id, late[0]], [ts_s, late[1]], np.zeros(len(meter_id) + extra, np.bool_)
            if day:
                parts_m.append(random.choice(chosen, extra))
                parts_t.append(START_S + (day - 1) * 86_400 + random.choice(hours, extra))
                again = np.r_[again, np.ones(extra, np.bool_)]
            yield Input(np.concatenate(parts_m), np.concatenate(parts_t), again)


def _late(random: np.random.Generator, meters: Int64s, count: int, day_s: int) -> tuple[Int64s, Int64s]:
    """Readings that no daily report has: between the hours, up to LATE_DAYS back, each once."""
    return random.choice(meters, count), day_s - random.integers(60, LATE_DAYS * 86_400, count) // 3600 * 3600 + 1800


def _table(rows: Input) -> ReadingTable:
    order = np.lexsort((rows.ts_s, rows.meter_id))
    meter_id, ts_s, index_ml = rows.meter_id[order], rows.ts_s[order], rows.index_ml[order]
    leader = np.r_[True, (meter_id[1:] != meter_id[:-1]) | (ts_s[1:] != ts_s[:-1])]
    kind = np.zeros(len(order), np.int16)
    return ReadingTable(np.zeros(len(order), np.int64), meter_id, ts_s, kind, index_ml, leader, np.cumsum(leader) - 1)


async def _ours(connection: asyncpg.Connection, work: list[Input]) -> int:
    marks, stored = HighWaterMarks(), 0
    for rows in work:
        table = _table(rows)
        leaders = np.flatnonzero(table.leader)
        meters, times = table.meter_id[leaders], table.ts_s[leaders]
        async with connection.transaction():
            unknown = marks.unknown(meters)
            if len(unknown):
                marks.set(unknown, await writer.newest_times(connection, unknown))
            new = marks.certainly_new(meters, times)
            existing, existing_ml = await writer.copy_readings(connection, table, leaders, new)
        verdict = judge(table, leaders, existing, existing_ml)
        marks.raise_to(table.meter_id[verdict.stored], table.ts_s[verdict.stored])
        stored += int(verdict.stored.sum())
    return stored


async def _raw(connection: asyncpg.Connection, encoded: list[bytearray]) -> None:
    for data in encoded:
        async with connection.transaction():
            await connection.copy_to_table(
                "readings", source=_once(data), columns=list(READING_COLUMNS), format="binary"
            )


async def _once(data: bytearray) -> AsyncIterator[bytearray]:
    yield data


def _encoded(work: list[Input]) -> tuple[list[bytearray], int]:
    """Every key once, in the batch it first comes in."""
    meter_id = np.concatenate([rows.meter_id for rows in work])
    ts_s = np.concatenate([rows.ts_s for rows in work])
    index_ml = np.concatenate([rows.index_ml for rows in work])
    ends = np.cumsum([len(rows.ts_s) for rows in work])
    _, first = np.unique(np.stack([meter_id, ts_s], axis=1), axis=0, return_index=True)
    first.sort()
    data = []
    for chosen in np.split(first, np.searchsorted(first, ends[:-1])):
        kind = np.zeros(len(chosen), np.int16)
        data.append(encode_readings(meter_id[chosen], ts_s[chosen], kind, index_ml[chosen]))
    return data, len(first)


async def _empty(connection: asyncpg.Connection) -> None:
    await connection.execute("TRUNCATE readings, device_latest")


_HISTORY = f"""
TRUNCATE readings, device_latest;
INSERT INTO readings (meter_id, ts, kind, index_ml)
SELECT meter, ts, 0, meter::bigint * 1000003
FROM generate_series(to_timestamp({START_S - LATE_DAYS * 86_400}), to_timestamp({START_S - 1}), '6 hours') AS ts,
     generate_series(1, {METERS}) AS meter;
INSERT INTO device_latest (device_id, meter_id, last_report_at, last_report_id, last_ts)
SELECT meter, meter, to_timestamp({START_S}), gen_random_uuid(), to_timestamp({START_S - 6 * HOUR_S})
FROM generate_series(1, {METERS}) AS meter;
SELECT compress_chunk(chunk) FROM show_chunks('readings') AS chunk"""
_REGISTERED = f"""
INSERT INTO service_points (address) VALUES ('');
INSERT INTO meters (serial) SELECT n FROM generate_series(1, {METERS}) AS n;
INSERT INTO devices (device) SELECT n FROM generate_series(1, {METERS}) AS n;
INSERT INTO installations (service_point_id, meter_id, device_id, valid_from)
SELECT 1, n, n, '2020-01-01Z' FROM generate_series(1, {METERS}) AS n"""
_COMPRESSED = """
SELECT compress_relid FROM _timescaledb_catalog.compression_settings WHERE relid IN (SELECT show_chunks('readings'))"""


async def _with_history(connection: asyncpg.Connection) -> None:
    """Readings of every six hours in LATE_DAYS compressed chunks; newer ones are not compressed."""
    await connection.execute(_HISTORY)


async def _compressed(connection: asyncpg.Connection) -> tuple[int, int]:
    """Batches and rows in compressed chunks."""
    batches = rows = 0
    for (chunk,) in await connection.fetch(_COMPRESSED):
        found = await connection.fetchrow(f"SELECT count(*), sum(_ts_meta_count)::bigint FROM {chunk}")
        batches, rows = batches + found[0], rows + (found[1] or 0)
    return batches, rows


Prepare = Callable[[asyncpg.Connection], Awaitable[None]]
Progress = Callable[[str], None]


async def _rounds(connection: asyncpg.Connection, prepare: Prepare, name: str, progress: Progress) -> dict[str, float]:
    """ROUNDS of both sides, each on a table that is prepared anew."""
    ours: list[float] = []
    raw: list[float] = []
    for number in range(ROUNDS):
        work = list(batches(number))
        encoded, distinct = _encoded(work)
        await prepare(connection)
        began = time.perf_counter()
        await _raw(connection, encoded)
        raw.append(distinct / (time.perf_counter() - began))
        await prepare(connection)
        before = await connection.fetchval("SELECT count(*) FROM readings")
        began = time.perf_counter()
        stored = await _ours(connection, work)
        ours.append(distinct / (time.perf_counter() - began))
        if stored != distinct or await connection.fetchval("SELECT count(*) FROM readings") != before + distinct:
            raise RuntimeError(f"the writer stored {stored} of {distinct} distinct rows")
        progress(f"{name} {number + 1}/{ROUNDS}: {ours[-1]:,.0f} rows/s, raw COPY {raw[-1]:,.0f} rows/s")
    return {
        "rows_per_s": statistics.median(ours),
        "raw_copy_rows_per_s": statistics.median(raw),
        "ratio_to_raw_copy": statistics.median(a / b for a, b in zip(ours, raw, strict=True)),
    }


async def _measure_on(given: str | None, progress: Progress) -> tuple[dict[str, float], dict[str, float]]:
    """On one server: an empty table, and beside compressed chunks where it has them."""
    async with own_database(given) as url:
        await migrate(url)
        connection = await asyncpg.connect(url, server_settings={"jit": "off"})
        await connection.execute(_REGISTERED)
        timescale = bool(await connection.fetchval("SELECT count(*) FROM pg_extension WHERE extname = 'timescaledb'"))
        empty = await _rounds(connection, _empty, "writer on TimescaleDB" if timescale else "writer", progress)
        compressed: dict[str, float] = {}
        if timescale:
            await _with_history(connection)
            there = await _compressed(connection)
            compressed = await _rounds(connection, _with_history, "writer beside compressed chunks", progress)
            batches_left, rows_left = await _compressed(connection)
            compressed |= {
                "batches": there[0],
                "batches_decompressed": there[0] - batches_left,
                "rows_decompressed": there[1] - rows_left,
            }
        await connection.close()
    return empty | {"timescaledb": timescale}, compressed


def measure(progress: Progress) -> dict[str, float]:
    """The keys `writer.*` of bench.json."""
    given, timescale = os.environ.get("NBWATER_DATABASE_URL"), os.environ.get("NBWATER_TEST_TIMESCALE_URL")
    found, compressed = asyncio.run(_measure_on(given, progress))
    beside = found if found["timescaledb"] else {}
    if timescale and not beside:
        beside, compressed = asyncio.run(_measure_on(timescale, progress))
    return (
        found
        | {f"timescale_{key}": value for key, value in beside.items() if key != "timescaledb"}
        | {f"compressed_{key}": value for key, value in compressed.items()}
    )
