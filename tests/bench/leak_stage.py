"""The live leak stage alone: every meter's new day of 24 readings, on TimescaleDB or PostgreSQL.

The database holds weeks of readings, and a state of each meter as if it had been learned. Each round stores a day for
all meters, marks them due as settlement does, and has the stage look at them: one whole day that is kept, and the hours
of the next one. Times are CPU of this process and of its backend together (`cpu_meters_per_s`), which a busy machine
disturbs little, and by the wall clock (`meters_per_s`); a million meters' new day in ten minutes takes 1,667 a second
on one core. Then a tenth of the meters has readings that come late, and goes on from an earlier state, and another
tenth is learned from the past as a first time.

``python -m tests.bench.leak_stage --url postgresql://… --meters 20000`` makes a database of its own there and drops it;
without ``--url`` it starts a PostgreSQL. The server must run on this machine.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import asyncpg
import numpy as np

from ingest.leaks.habits import unknown_meters
from ingest.leaks.live import checkpoints, states
from ingest.leaks.live.local_hours import day_number_of
from ingest.leaks.live.stage import LeakStage
from ingest.schema.migrate import migrate
from metering.leak_settings import LeakSettings
from tests.bench.databases import own_database

ZONE = ZoneInfo("Asia/Shanghai")
T0 = "timestamptz '2026-01-01 00:00+08'"
DAYS = 40
UNCOMPRESSED_DAYS = 4
LATE_DAYS = (2, 5, 20)
CHECKPOINT_DAYS = (10, 20, 30)
"""So old are the earlier states of each meter before the first round."""
GOAL = 1_000_000 / 600

_METERS = "INSERT INTO meters (serial) SELECT 'B' || g FROM generate_series(1, $1::int) g"
_READINGS = f"""
INSERT INTO readings (meter_id, ts, kind, index_ml)
SELECT m, {T0} + make_interval(days => $1::int, hours => h, secs => m % 3600 + 7200), 0,
       1000 * (m % 1000 * 1000 + $1::int * 380 + greatest(h - 4, 0) * (12 + m % 9) + (m * 7 + h * 3) % 2)
FROM generate_series(1, $2::int) m, generate_series(0, 23) h"""
_DUE = f"""
INSERT INTO leak_due (meter_id, from_ts)
SELECT m, {T0} + make_interval(days => $1::int, secs => m % 3600 + 7200) FROM generate_series(1, $2::int) m"""
_LATE = f"""
WITH late AS (
    INSERT INTO readings (meter_id, ts, kind, index_ml)
    SELECT m, {T0} + make_interval(days => $1::int, mins => 30, secs => m % 3600 + 7200), 0,
           1000 * (m % 1000 * 1000 + $1::int * 380 + (m * 7) % 2)
    FROM generate_series(1, $2::int) m RETURNING meter_id, ts)
INSERT INTO leak_due (meter_id, from_ts) SELECT meter_id, ts FROM late"""
_COMPRESS = f"""
SELECT compress_chunk(c) FROM show_chunks('readings', older_than => {T0} + make_interval(days => $1::int)) c"""


async def measured(url: str, meters: int, rounds: int) -> list[dict[str, Any]]:
    await migrate(url)
    owner = await asyncpg.connect(url)
    pool = await asyncpg.create_pool(url, min_size=1, max_size=1, server_settings={"jit": "off"})
    try:
        await _prepare(owner, meters)
        stage = LeakStage(pool, ZONE, LeakSettings())
        found = []
        for day in range(DAYS, DAYS + rounds):
            await owner.execute(_READINGS, day, meters)
            await owner.execute(_DUE, day, meters)
            await owner.execute("ANALYZE readings")
            found.append({"what": "a new day", "day": day} | await _timed(pool, stage))
        newest, few = DAYS + rounds - 1, meters // 10
        for back in LATE_DAYS:
            await owner.execute(_LATE, newest - back, few)
            found.append({"what": f"{back} days late"} | await _timed(pool, stage))
        await owner.execute("DELETE FROM leak_states WHERE meter_id <= $1", few)
        await owner.execute(_DUE, newest, few)
        while await stage.look_at_batch():
            pass
        found.append({"what": f"learned from {newest + 1} days"} | await _timed(pool, stage, put_off=True))
        return found
    finally:
        await pool.close()
        await owner.close()


async def _prepare(owner: Any, meters: int) -> None:
    await owner.execute(_METERS, meters)
    for day in range(DAYS):
        await owner.execute(_READINGS, day, meters)
    if await owner.fetchval("SELECT bool_or(timescale) FROM schema_migrations"):
        await owner.fetch(_COMPRESS, DAYS - UNCOMPRESSED_DAYS)
    for table in ("readings", "meters"):
        await owner.execute(f"VACUUM ANALYZE {table}")
    first = await owner.fetchval(f"SELECT ({T0} AT TIME ZONE 'Asia/Shanghai')::date")
    of = unknown_meters(meters, day_number_of(first) + DAYS)
    of["days"] = DAYS
    ids = np.arange(1, meters + 1)
    for part in np.split(np.arange(meters), range(5_000, meters, 5_000)):
        await states.save(owner, ids[part], of[part])
        for back in CHECKPOINT_DAYS:
            earlier = of[part].copy()
            earlier["day"] -= back
            earlier["days"] -= back
            await checkpoints.keep(owner, ids[part], earlier, earlier["day"] - checkpoints.EVERY_DAYS)


async def _timed(pool: Any, stage: LeakStage, put_off: bool = False) -> dict[str, Any]:
    async with pool.acquire() as connection:
        backend_s = _cpu_of(connection.get_server_pid())
    cpu, backend, wall, meters, batches = time.process_time(), backend_s(), time.monotonic(), 0, 0
    while taken := await stage.look_at_batch(put_off):
        meters += taken
        batches += 1
    cpu, backend, wall = time.process_time() - cpu, backend_s() - backend, time.monotonic() - wall
    return {
        "meters": meters, "batches": batches, "meters_per_s": round(meters / wall),
        "cpu_meters_per_s": round(meters / (cpu + backend)), "goal": round(GOAL),
        "python_us": round(1e6 * cpu / meters), "postgresql_us": round(1e6 * backend / meters),
        "resident_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }  # fmt: skip


def _cpu_of(pid: int) -> Callable[[], float]:
    return lambda: int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9


async def _run(url: str | None, meters: int, rounds: int) -> list[dict[str, Any]]:
    async with own_database(url) as database:
        return await measured(database, meters, rounds)


def measure(progress: Callable[[str], None], server_url: str, quick: bool = False) -> dict[str, Any]:
    """As a section of `make bench`."""
    meters = 1_000 if quick else 50_000
    progress(f"leak stage: {meters} meters")
    return {"rounds": asyncio.run(_run(server_url, meters, 2))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", help="a server with or without TimescaleDB, as a user who may create databases")
    parser.add_argument("--meters", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=2)
    chosen = parser.parse_args()
    for each in asyncio.run(_run(chosen.url, chosen.meters, chosen.rounds)):
        print(json.dumps(each), flush=True)


if __name__ == "__main__":
    main()
