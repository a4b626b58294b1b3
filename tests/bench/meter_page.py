"""The meter page's queries with 100 million readings stored: 10,000 meters, more than 400 days, a chunk for each day.

Old chunks are compressed as the policies do it. What the page asks for is called as the page calls it
(`api/pages/meter.py`, `meter_charts.py`, `meter_alerts.py`), in a random order of meters, one page after the other, by
a pool of one connection. Drawing in the browser is not part of it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import asyncpg
import numpy as np

from api.alert_life import CLOSED
from api.database import ReadPool, open_read_pool
from api.queries.accounting import midnight
from api.queries.alerts import ACTIVE, AlertFilter, AlertOrder, list_alerts
from api.queries.consumption import Granularity, list_consumption
from api.queries.meters import get_meter
from api.queries.readings import index_curve
from api.queries.reports import list_reports
from tests.bench.city import DAY_S, READINGS_PER_DAY, START_S, City
from tests.bench.hypertables import NotRunError, copy, timescale_database

DATABASE = "nbwater_bench_meter_page"
READINGS = 100_000_000
DAYS = 417
SHOWN_METERS = 500
"""Of these the reports and settled days are there too, and their pages are asked for."""
PAGES = 200
METERS_PER_COPY = 10_000
SILENCE_AFTER = timedelta(hours=36)
ZONE = ZoneInfo("Asia/Shanghai")
END = datetime.fromtimestamp(START_S + DAYS * DAY_S, UTC)
PERIODS = {"day": (Granularity.DAY, 14), "hour": (Granularity.HOUR, 14), "month": (Granularity.MONTH, 365)}
"""What the charts show: first what opens by itself, last the longest."""

_REGISTER = """
WITH points AS (INSERT INTO service_points (address) SELECT 'x' FROM generate_series(1, $1::int)),
     registers AS (INSERT INTO meters (serial) SELECT 'm' || n FROM generate_series(1, $1::int) n)
INSERT INTO devices (device) SELECT 'm' || n FROM generate_series(1, $1::int) n"""
_INSTALL = """
INSERT INTO installations (service_point_id, meter_id, device_id, valid_from)
SELECT n, n, n, '2020-01-01' FROM generate_series(1, $1::int) n"""
_REPORTS = """
INSERT INTO reports (received_at, report_id, device, device_id, meter_id, door, authentication, source, content_format,
                     payload_bytes, decoder, outcome, identity, first_ts, last_ts, readings, readings_stored)
SELECT $2::timestamptz + day * INTERVAL '1 day' + n * INTERVAL '1 second', gen_random_uuid(), 'm' || n, n, n, 'coap',
       'claimed', '10.0.0.1', 60, 96, 'native_cbor', 'stored', day * 1000003 + n,
       $2::timestamptz + (day - 1) * INTERVAL '1 day', $2::timestamptz + day * INTERVAL '1 day', 24, 24
FROM generate_series(1, $1::int) n, generate_series(1, $3::int) day"""
_PAYLOADS = """
INSERT INTO raw_reports SELECT received_at, report_id, decode(repeat(md5(identity::text), 6), 'hex') FROM reports"""
_LATEST = """
INSERT INTO device_latest (device_id, meter_id, last_report_at, last_report_id, last_ts, last_index_ml)
SELECT DISTINCT ON (device_id) device_id, meter_id, received_at, report_id, last_ts, 1 FROM reports
ORDER BY device_id, received_at DESC"""
_SETTLED = """
INSERT INTO settled_days (meter_id, day, start_index_ml, end_index_ml, consumption_ml, quality, complete, readings)
SELECT meter_id, ts::date, min(index_ml), max(index_ml), max(index_ml) - min(index_ml), 'measured', true, 24
FROM readings WHERE meter_id <= $1 AND ts >= $2 AND ts < $3 GROUP BY 1, 2"""
_OLD = """
SELECT format('%I.%I', chunk_schema, chunk_name) AS chunk FROM timescaledb_information.chunks
JOIN timescaledb_information.jobs USING (hypertable_name) WHERE proc_name = 'policy_compression'
  AND (range_end < $1::timestamptz - (config ->> 'compress_after')::interval)"""

Progress = Callable[[str], None]


def measure(progress: Progress, readings: int = READINGS) -> dict[str, Any]:
    """The keys `meter_page.*` of bench.json: milliseconds of all queries of a page, by what its charts show."""
    try:
        return asyncio.run(_measure(progress, readings))
    except NotRunError as error:
        progress(f"meter page: {error}")
        return {"not_run": str(error)}


async def _measure(progress: Progress, readings: int) -> dict[str, Any]:
    async with timescale_database(DATABASE) as url:
        connection = await asyncpg.connect(url)
        meters = max(SHOWN_METERS, readings // (DAYS * READINGS_PER_DAY))
        await _fill(connection, City(meters, DAYS), progress)
        stored = await connection.fetchval("SELECT count(*) FROM readings")
        chunks = await connection.fetchval("SELECT count(*) FROM show_chunks('readings')")
        await connection.close()
        found: dict[str, Any] = {"stored_readings": stored, "chunks": chunks}
        pool = await open_read_pool(url, size=1)
        for name, (by, days) in PERIODS.items():
            times = await _pages(pool, by, days)
            found |= {
                f"{name}_p50_ms": float(np.quantile(times, 0.5)),
                f"{name}_p95_ms": float(np.quantile(times, 0.95)),
            }
            progress(
                f"meter page by {name}: p50 {found[f'{name}_p50_ms']:.1f} ms, p95 {found[f'{name}_p95_ms']:.1f} ms"
            )
        await pool.close()
    return found


async def _fill(connection: asyncpg.Connection, city: City, progress: Progress) -> None:
    start = datetime.fromtimestamp(START_S, UTC)
    everyone = np.arange(1, city.meters + 1)
    await connection.execute(_REGISTER, SHOWN_METERS)
    await connection.execute(_INSTALL, SHOWN_METERS)
    for day in range(city.days):
        for first in range(0, city.meters, METERS_PER_COPY):
            await copy(connection, city.day(everyone[first : first + METERS_PER_COPY], day))
        if day % 50 == 0:
            progress(f"meter page: day {day} of {city.days} stored")
    await connection.execute(_REPORTS, SHOWN_METERS, start, city.days)
    await connection.execute(_PAYLOADS)
    await connection.execute(_LATEST)
    for day in range(0, city.days, 30):
        since = start + timedelta(days=day)
        await connection.execute(_SETTLED, SHOWN_METERS, since, since + timedelta(days=30))
    for row in await connection.fetch(_OLD, END):
        await connection.execute("SELECT compress_chunk($1::text::regclass)", row["chunk"])
    await connection.execute("ANALYZE")


async def _pages(pool: ReadPool, by: Granularity, days: int) -> list[float]:
    times = []
    for meter in (np.random.default_rng(6).integers(SHOWN_METERS, size=PAGES) + 1).tolist():
        began = time.perf_counter()
        await _page(pool, f"m{meter}", by, days)
        times.append((time.perf_counter() - began) * 1e3)
    return times


async def _page(pool: ReadPool, serial: str, by: Granularity, days: int) -> None:
    """One after the other what the page loads at once."""
    detail = await get_meter(pool, serial, now=END, silence_after=SILENCE_AFTER)
    meter_id, today = detail.meter.meter_id, END.astimezone(ZONE).date()
    first = today - timedelta(days=days - 1)
    await list_consumption(pool, meter_id, Granularity.DAY, today - timedelta(days=1), today, ZONE)
    await list_alerts(pool, AlertFilter(ACTIVE, serial=serial), limit=10, order=AlertOrder.WORST)
    await list_alerts(pool, AlertFilter(tuple(CLOSED), serial=serial), limit=10)
    reports = await list_reports(pool, meter_id, limit=20)
    rows = await list_consumption(pool, meter_id, by, first, today, ZONE)
    readings = await index_curve(pool, meter_id, midnight(first, ZONE), END)
    if not rows or not readings or len(reports.items) != min(20, DAYS) or reports.items[0].payload_hex is None:
        raise RuntimeError(f"the page of {serial} has {len(rows)} rows, {len(readings)} readings")
