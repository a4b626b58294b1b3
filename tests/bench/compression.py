"""The table by which the chunk interval, the compressed layout and compress-after were chosen (decision 11).

Three parts, all on the real `readings` of a migrated database with native TimescaleDB:

* *hot*: a day of all meters (of a fifth of them where the chunk has days before) is written by COPY into one chunk, as
  meters report: each its 24 hourly readings at once, meters in random order;
* *full chunk*: that day of all meters, compressed in each layout: bytes, late rows, look-ups, one meter's day;
* *month*: fewer meters with 28 days, in each layout and interval: bytes, late rows, one meter's month.

`scale` 1 is a million meters and takes about ten minutes on two quiet cores.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import asyncpg
import numpy as np

from ingest.readings import Int64s
from tests.bench.city import DAY_S, READINGS_PER_DAY, START_S, City
from tests.bench.hypertables import Meter, NotRunError, compress_all, copy, timescale_database

DATABASE = "nbwater_bench_compression"
METERS = 1_000_000
MONTH_METERS = 10_000
MONTH_DAYS = 28
REPORTS_PER_BATCH = 2_000
LATE_ROWS = 10_000
QUERIES = 200

Progress = Callable[[str], None]
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Layout:
    segmentby: str
    orderby: str


LAYOUTS = (Layout("meter_id", "ts, kind"), Layout("meter_id, kind", "ts"), Layout("kind", "meter_id, ts"))
INTERVALS = {"1 day": 0, "2 days": 1, "7 days": 3}
"""Each with the days that its chunk has when the hot rate is measured."""


class Times(NamedTuple):
    p50_ms: float
    p95_ms: float


_ONE_METER = """
SELECT ts, kind, index_ml FROM readings
WHERE meter_id = $1 AND ts >= to_timestamp($2) AND ts < to_timestamp($3) ORDER BY ts, kind"""

_SIZE = "SELECT sum(total_bytes)::bigint FROM chunks_detailed_size('readings')"
_HOT_SIZE = """
SELECT sum(pg_relation_size(c))::bigint, sum(pg_indexes_size(c))::bigint FROM show_chunks('readings') c"""


def measure(progress: Progress, scale: float = 1.0) -> Row:
    """The keys `compression.*` of bench.json; `rows` is the table. `scale` 0.05 is for trying."""
    try:
        return asyncio.run(_measure(progress, scale))
    except NotRunError as error:
        progress(f"compression: {error}")
        return {"not_run": str(error)}


async def _measure(progress: Progress, scale: float) -> Row:
    rows: list[Row] = []
    random = np.random.default_rng(3)
    city = City(int(METERS * scale), max(INTERVALS.values()) + 1)
    month = City(int(MONTH_METERS * min(1.0, scale * 5)), MONTH_DAYS)

    def add(row: Row) -> None:
        rows.append(row)
        progress("compression: " + ", ".join(f"{name} {_shown(value)}" for name, value in row.items()))

    async with timescale_database(DATABASE) as url:
        connection = await asyncpg.connect(url)
        for interval, days_before in reversed(INTERVALS.items()):
            add(await _hot(connection, city, interval, days_before))
        for layout in LAYOUTS:
            add(await _full_chunk(connection, random, city, layout))
        for interval in INTERVALS:
            for layout in LAYOUTS:
                add(await _month(connection, random, month, interval, layout))
        await connection.close()
    return {"meters": city.meters, "rows": rows}


def _shown(value: Any) -> str:
    return f"{value:,.2f}" if isinstance(value, float) else str(value)


async def _empty(connection: asyncpg.Connection, interval: str) -> None:
    await connection.execute("TRUNCATE readings")
    await connection.execute(f"SELECT set_chunk_time_interval('readings', INTERVAL '{interval}')")
    await connection.execute("CHECKPOINT")


async def _hot(connection: asyncpg.Connection, city: City, interval: str, days_before: int) -> Row:
    """Write one day of all meters, or of a fifth of them into a chunk that has `days_before` days already."""
    await _empty(connection, interval)
    if days_before:
        await connection.execute("ALTER TABLE readings DROP CONSTRAINT readings_pkey")
        for day in range(days_before):
            for meters in _batches(np.arange(1, city.meters + 1), 10 * REPORTS_PER_BATCH):
                await copy(connection, city.day(meters, day))
        await connection.execute("SET maintenance_work_mem = '512MB'")
        await connection.execute("ALTER TABLE readings ADD PRIMARY KEY (meter_id, ts, kind)")
        await connection.execute("CHECKPOINT")
    meters = np.random.default_rng(2).permutation(city.meters) + 1
    if days_before:
        meters = meters[: len(meters) // 5]
    meter = Meter(connection)
    await meter.begin()
    for batch in _batches(meters, REPORTS_PER_BATCH):
        await copy(connection, city.day(np.sort(batch), days_before))
    cost = await meter.cost(len(meters) * READINGS_PER_DAY)
    heap, index = await connection.fetchrow(_HOT_SIZE)
    readings = (days_before * city.meters + len(meters)) * READINGS_PER_DAY
    return {
        "part": "hot", "interval": interval, "rows_in_chunk": readings, "copy_rows_per_s": cost.rows_per_s,
        "copy_cpu_us_per_row": cost.cpu_us_per_row, "wal_bytes_per_row": cost.wal_bytes_per_row,
        "heap_bytes_per_reading": heap / readings, "index_bytes_per_reading": index / readings, "index_bytes": index,
    }  # fmt: skip


def _batches(meters: Int64s, size: int) -> list[Int64s]:
    return [meters[start : start + size] for start in range(0, len(meters), size)]


async def _full_chunk(connection: asyncpg.Connection, random: np.random.Generator, city: City, layout: Layout) -> Row:
    """The first day of all meters, hot or in another layout before."""
    await connection.execute("SELECT decompress_chunk(c, true) FROM show_chunks('readings') c")
    await _use(connection, layout)
    readings = city.meters * READINGS_PER_DAY
    found = await _compressed(connection, readings)
    times = await _queries(connection, city.meters, 1)
    return {
        "part": "full chunk", "interval": "1 day", **asdict(layout), **found,
        **await _changes(connection, random, city, 1), "day_p50_ms": times.p50_ms, "day_p95_ms": times.p95_ms,
    }  # fmt: skip


async def _month(
    connection: asyncpg.Connection, random: np.random.Generator, city: City, interval: str, layout: Layout
) -> Row:
    await _empty(connection, interval)
    await _use(connection, layout)
    everyone = np.arange(1, city.meters + 1)
    for day in range(city.days):
        await copy(connection, city.day(everyone, day))
    found = await _compressed(connection, city.meters * city.days * READINGS_PER_DAY)
    times = await _queries(connection, city.meters, city.days)
    return {
        "part": "month", "interval": interval, **asdict(layout), **found, "month_p50_ms": times.p50_ms,
        "month_p95_ms": times.p95_ms, **await _changes(connection, random, city, city.days),
    }  # fmt: skip


async def _use(connection: asyncpg.Connection, layout: Layout) -> None:
    await connection.execute(
        f"ALTER TABLE readings SET (timescaledb.segmentby = '{layout.segmentby}', "
        f"timescaledb.orderby = '{layout.orderby}')"
    )


async def _compressed(connection: asyncpg.Connection, readings: int) -> Row:
    """Compress everything there is."""
    meter = Meter(connection)
    await meter.begin()
    await compress_all(connection)
    cost = await meter.cost(readings)
    size = await connection.fetchval(_SIZE)
    return {
        "bytes_per_reading": size / readings, "compress_rows_per_s": cost.rows_per_s,
        "compress_cpu_us_per_row": cost.cpu_us_per_row,
    }  # fmt: skip


async def _changes(connection: asyncpg.Connection, random: np.random.Generator, city: City, days: int) -> Row:
    """Late rows into compressed chunks, and compressing again what they touched."""
    late = city.late(random, min(LATE_ROWS, city.meters), 0, days)
    meter = Meter(connection)
    await meter.begin()
    await copy(connection, late)
    cost = await meter.cost(len(late.ts_s))
    began = time.perf_counter()
    await compress_all(connection)
    again_s = time.perf_counter() - began
    return {
        "late_rows_per_s": cost.rows_per_s, "late_cpu_us_per_row": cost.cpu_us_per_row, "late_rows": len(late.ts_s),
        "recompress_s": again_s,
    }  # fmt: skip


async def _queries(connection: asyncpg.Connection, meters: int, days: int) -> Times:
    """One meter's readings of all days, as the meter page reads them."""
    times = []
    for meter_id in (np.random.default_rng(4).choice(meters, QUERIES) + 1).tolist():
        began = time.perf_counter()
        rows = await connection.fetch(_ONE_METER, meter_id, float(START_S), float(START_S + days * DAY_S))
        times.append((time.perf_counter() - began) * 1e3)
        if len(rows) < days * READINGS_PER_DAY:
            raise RuntimeError(f"meter {meter_id} has {len(rows)} readings in {days} days")
    return Times(*np.quantile(times, (0.5, 0.95)).tolist())
