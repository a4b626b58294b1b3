"""The districts' stage of a city alone: an hour of all districts, of one that is new, of thousands; the detector.

Hourly readings of two days, the older one compressed where TimescaleDB is, in SMALL zones under LARGE ones: first the
large are districts, then the small. What an hour takes is the CPU of the backend, and of this process for its rows.

``python -m tests.bench.district_stage --url postgresql://… --meters 100000`` makes a database of its own and drops it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import time
from collections.abc import Callable
from datetime import date, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import asyncpg

from ingest.districts import hour_sums, zone_hours
from ingest.districts.balance import Errors
from ingest.districts.stage import DistrictStage
from ingest.schema.migrate import migrate
from metering.district_settings import DistrictSettings
from tests.bench import registered
from tests.bench.databases import own_database
from tests.bench.settlement import MeteredConnection

ZONE = ZoneInfo("Asia/Shanghai")
SMALL, LARGE = 5_000, 50
T0 = "timestamptz '2026-01-01 00:00+08'"
T0_S = 1_767_196_800
FIRST = date(2026, 1, 1)
PAST_DAYS = 120
ROUNDS = 3

_LARGE = """
WITH large AS (
    INSERT INTO zones (code, name) SELECT 'L' || n, 'district ' || n FROM generate_series(1, $1::int) n
    RETURNING zone_id, substr(code, 2)::int AS number)
UPDATE zones SET parent_id = large.zone_id FROM large WHERE zones.zone_id % $1 = number - 1 AND zones.code LIKE 'Z%'"""
_LARGE_FLOWS = """
INSERT INTO zone_flows (zone_id, meter_id, direction, valid_from)
SELECT zone_id, substr(code, 2)::int, 'in', '2020-01-01' FROM zones WHERE code LIKE 'L%'"""
_SMALL_FLOWS = """
INSERT INTO zone_flows (zone_id, meter_id, direction, valid_from)
SELECT zone_id, $1 + zone_id, 'in', '2020-01-01' FROM zones WHERE code LIKE 'Z%'"""
_READINGS = f"""
INSERT INTO readings (meter_id, ts, kind, index_ml)
SELECT m, {T0} + make_interval(days => $1::int, hours => h, secs => m * 7919::bigint % 3600), 0,
       1000::bigint * (m % 1000 * 1000 + ($1::int * 24 + h) * (12 + m % 9))
FROM generate_series(1, $2::int) m, generate_series(0, 23) h"""
_DAYS = """
INSERT INTO settled_days (meter_id, day, start_index_ml, end_index_ml, consumption_ml, quality, complete, readings)
SELECT m, $2::date + d, 0, 0, 24000 * (12 + m % 9), 'measured', true, 24
FROM generate_series(1, $1::int) m, generate_series(-7, 1) d"""
_PAST = f"""
INSERT INTO zone_hours (zone_id, hour, inlet_ml, outlet_ml, customers_ml, estimated_ml, sigma_ml, meters, measured)
SELECT zone_id, {T0} + make_interval(hours => h), 1e6 + 5e5 * sin(h * pi() / 12) + random() * 1e4, 0,
       9e5 + 5e5 * sin(h * pi() / 12) + random() * 1e4, 0, 5000, 20, 20
FROM (SELECT zone_id FROM zones WHERE code LIKE 'Z%' ORDER BY zone_id LIMIT $2) z, generate_series(0, $1::int - 1) h"""


async def prepare(connection: Any, meters: int) -> None:
    await registered.register(connection, meters, SMALL)
    await connection.execute(_LARGE, LARGE)
    for day in range(2):
        await connection.execute(_READINGS, day, meters)
    await connection.execute(_DAYS, meters, FIRST)
    if await connection.fetchval("SELECT bool_or(timescale) FROM schema_migrations"):
        await connection.execute(
            f"SELECT compress_chunk(c) FROM show_chunks('readings', older_than => {T0} + '1 day') c"
        )
    for table in ("readings", "settled_days", "zones"):
        await connection.execute(f"VACUUM ANALYZE {table}")


async def hours(pool: Any, what: str, hour: int, chosen: hour_sums.Few | None) -> dict[str, Any]:
    """Medians are not needed: CPU is counted. The first round is left out."""
    usual = [FIRST + timedelta(days=hour // 24 - ago) for ago in DistrictSettings().usual_days]
    spent = []
    for _ in range(ROUNDS):
        async with pool.acquire() as connection:
            metered = MeteredConnection(connection)
            backend, mine, began = metered.cpu_ns(), time.process_time_ns(), time.monotonic()
        rows = await hour_sums.of_hour(pool, T0_S + hour * 3_600, usual, chosen)
        balanced = [zone_hours.balanced(row, Errors()) for row in rows]
        now = time.process_time_ns()
        spent.append((time.monotonic() - began, (metered.cpu_ns() - backend) / 1e9, (now - mine) / 1e9))
    took, backend_s, python_s = (round(min(of), 3) for of in zip(*spent[1:], strict=True))
    return {"what": what, "districts": len(balanced), "seconds": took, "backend_cpu_s": backend_s,
            "python_cpu_s": python_s}  # fmt: skip


async def detector(pool: Any, districts: int) -> dict[str, Any]:
    """One look at PAST_DAYS days of so many districts."""
    stage = DistrictStage(pool, ZONE, DistrictSettings())
    until_s = T0_S + PAST_DAYS * 86_400
    before, cpu, began = _peak_mb(), time.process_time(), time.monotonic()
    await stage._detect(until_s)
    return {
        "what": "the detector", "districts": districts, "seconds": round(time.monotonic() - began, 1),
        "python_cpu_s": round(time.process_time() - cpu, 1), "python_mb_before": before, "python_mb": _peak_mb(),
    }  # fmt: skip


def _peak_mb() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


async def measured(
    given: str | None, meters: int, watched: int, progress: Callable[[str], None]
) -> list[dict[str, Any]]:  # fmt: skip
    async with own_database(given) as url:
        await migrate(url)
        connection = await asyncpg.connect(url)
        await prepare(connection, meters)
        await connection.execute(_LARGE_FLOWS)
        pool = await asyncpg.create_pool(url, min_size=1, max_size=1, server_settings={"jit": "off"})
        found = []

        async def note(what: dict[str, Any]) -> None:
            found.append(what)
            progress(f"districts: {json.dumps(what)}")

        zones = [row[0] for row in await connection.fetch("SELECT zone_id FROM zones WHERE code LIKE 'L%'")]
        one = await hour_sums.few(pool, zones[:1])
        for of_day, hour in (("compressed", 12), ("hot", 36)):
            await note(await hours(pool, f"an hour of all, {of_day}", hour, None))
            await note(await hours(pool, f"an hour of a new one, {of_day}", hour, one))
        await connection.execute("TRUNCATE zone_flows")
        await connection.execute(_SMALL_FLOWS, LARGE)
        await connection.execute("ANALYZE zone_flows")
        await note(await hours(pool, "an hour of thousands, hot", 36, None))
        await connection.execute("TRUNCATE zone_flows")
        await connection.execute(_SMALL_FLOWS, LARGE)
        await connection.execute("DELETE FROM zone_flows WHERE zone_id > $1", watched)
        await connection.execute(_PAST, PAST_DAYS * 24, watched)
        await connection.execute("VACUUM ANALYZE zone_hours")
        await note(await detector(pool, watched))
        await pool.close()
        await connection.close()
        return found


def measure(progress: Callable[[str], None], server_url: str, quick: bool = False) -> dict[str, Any]:
    """As a section of `make bench`."""
    meters, watched = (6_000, 5) if quick else (100_000, 300)
    return {"rows": asyncio.run(measured(server_url, meters, watched, progress))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", help="a server with or without TimescaleDB, as a user who may create databases")
    parser.add_argument("--meters", type=int, default=100_000, help=f"more than {SMALL + LARGE}")
    parser.add_argument("--watched", type=int, default=300, help="districts that the detector looks at")
    chosen = parser.parse_args()
    asyncio.run(measured(chosen.url, chosen.meters, chosen.watched, print))


if __name__ == "__main__":
    main()
