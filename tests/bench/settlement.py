"""Settlement alone: CPU per touched span, Python and PostgreSQL apart, on a database that holds weeks of readings.

The most frequent case: every meter sends one new day of 24 readings. Each round stores such a day for all meters, and
late readings for a few, and settles that. Wall-clock time plays no part: counted are CPU nanoseconds of this process
and of the backend that serves it (``/proc/PID/schedstat``), so that a busy machine disturbs little. The database server
must run on this machine.

``python -m tests.bench.settlement --url postgresql://… --meters 10000 --days 40`` makes a database of its own there and
drops it at the end (``--keep NAME``: kept, and taken as it is the next time); without ``--url`` it starts a PostgreSQL.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import resource
import secrets
import time
from collections import defaultdict
from pathlib import Path
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import asyncpg
from prometheus_client import REGISTRY

from ingest.schema.migrate import migrate
from ingest.settlement.stage import SettlementStage
from metering.settings import SettlementSettings
from tests.bench.databases import named, server

ZONE = ZoneInfo("Asia/Shanghai")
T0 = "timestamptz '2026-01-01 00:00+08'"
UNCOMPRESSED_DAYS = 7
LATE_PERCENT = 2
LATE_DAYS = 30
STATEMENT_CHARS = 24

_METERS = "INSERT INTO meters (serial) SELECT 'B' || g FROM generate_series(1, $1::int) g"
_READINGS = f"""
INSERT INTO readings (meter_id, ts, kind, index_ml)
SELECT m, {T0} + make_interval(days => d, hours => h, secs => m % 3600), 0,
       1000 * (m % 1000 * 1000 + d * 380 + greatest(h - 4, 0) * 20)
FROM generate_series($1::int, $2::int) d, generate_series(1, $3::int) m, generate_series(0, 23) h"""
_SPANS = f"""
INSERT INTO touched_spans (meter_id, from_ts, to_ts)
SELECT m, {T0} + make_interval(days => $1::int, secs => m % 3600),
       {T0} + make_interval(days => $1::int, hours => 23, secs => m % 3600)
FROM generate_series(1, $2::int) m"""
_LATE = f"""
WITH late AS (
    INSERT INTO readings (meter_id, ts, kind, index_ml)
    SELECT m, {T0} + make_interval(days => $1::int - back, mins => 30, secs => m % 3600), 0,
           1000 * (m % 1000 * 1000 + ($1::int - back) * 380)
    FROM generate_series(1, $2::int) m, LATERAL (SELECT 1 + m / 100 % {LATE_DAYS} AS back) x
    WHERE m % 100 < {LATE_PERCENT}
    ON CONFLICT DO NOTHING
    RETURNING meter_id, ts)
INSERT INTO touched_spans (meter_id, from_ts, to_ts) SELECT meter_id, ts, ts FROM late"""
_COMPRESS = f"""
SELECT compress_chunk(c) FROM show_chunks('readings', older_than => {T0} + make_interval(days => $1::int)) c"""
_DAYS = f"""
INSERT INTO settled_days (meter_id, day, start_index_ml, end_index_ml, consumption_ml, quality, complete, readings)
SELECT m, ({T0} AT TIME ZONE 'Asia/Shanghai')::date + d, 1000 * (m % 1000 * 1000 + d * 380),
       1000 * (m % 1000 * 1000 + (d + 1) * 380), 380000, 'measured', d < $1::int - 1, 24
FROM generate_series(0, $1::int - 1) d, generate_series(1, $2::int) m"""


class MeteredConnection:
    """Passes everything on and counts CPU: of the backend by statement, of this process while it talks to it."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._pid = connection.get_server_pid()
        self.backend_ns: dict[str, int] = defaultdict(int)
        self.driver_ns = 0

    def cpu_ns(self) -> int:
        return int(Path(f"/proc/{self._pid}/schedstat").read_text().split()[0])

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._connection, name)
        if name not in ("fetch", "fetchrow", "fetchval", "execute"):
            return found

        async def metered(query: str, *arguments: Any) -> Any:
            before, mine = self.cpu_ns(), time.process_time_ns()
            try:
                return await found(query, *arguments)
            finally:
                self.driver_ns += time.process_time_ns() - mine
                self.backend_ns[_name(query)] += self.cpu_ns() - before

        return metered


def _read_so_far() -> float:
    return float(REGISTRY.get_sample_value("nbwater_settlement_readings_total") or 0)


def _name(query: str) -> str:
    """Begin and end of a statement."""
    line = " ".join(query.split())
    return f"{line[:STATEMENT_CHARS]} … {line[-STATEMENT_CHARS:]}"


async def prepare(connection: Any, meters: int, days: int) -> None:
    """Weeks of readings, the older ones compressed where TimescaleDB is, and their settled days."""
    await connection.execute(_METERS, meters)
    for day in range(days):
        await connection.execute(_READINGS, day, day, meters)
    await connection.execute(_DAYS, days, meters)
    if await connection.fetchval("SELECT bool_or(timescale) FROM schema_migrations"):
        await connection.fetch(_COMPRESS, days - UNCOMPRESSED_DAYS)
    for table in ("readings", "settled_days", "meters", "alerts"):
        await connection.execute(f"VACUUM ANALYZE {table}")


class Spent(NamedTuple):
    """CPU microseconds per span."""

    spans: int
    batches: int
    python_us: float
    postgresql_us: float

    @property
    def total_us(self) -> float:
        return self.python_us + self.postgresql_us


async def lay_down(owner: Any, day: int, meters: int) -> None:
    """A new day of each meter, late readings of a few, and the spans that ingest would mark."""
    await owner.execute(_READINGS, day, day, meters)
    await owner.execute(_SPANS, day, meters)
    await owner.execute(_LATE, day, meters)
    await owner.execute("ANALYZE touched_spans")


async def settle_all(stage: SettlementStage, metered: MeteredConnection) -> Spent:
    """Until nothing waits."""
    backend, mine, spans, batches = metered.cpu_ns(), time.process_time_ns(), 0, 0
    while taken := await stage.settle_batch():
        spans += taken
        batches += 1
    mine, backend = time.process_time_ns() - mine, metered.cpu_ns() - backend
    return Spent(spans, batches, mine / spans / 1000, backend / spans / 1000)


async def one_round(connection: Any, owner: Any, day: int, meters: int) -> dict[str, Any]:
    """One new day of each meter; microseconds of CPU per span."""
    await lay_down(owner, day, meters)
    metered = MeteredConnection(connection)
    readings = _read_so_far()
    spent = await settle_all(SettlementStage(metered, SettlementSettings(), ZONE), metered)
    return {
        "day": day,
        "spans": spent.spans,
        "batches": spent.batches,
        "readings_per_span": round((_read_so_far() - readings) / spent.spans, 1),
        "python_us": round(spent.python_us, 1),
        "of_which_driver_us": round(metered.driver_ns / spent.spans / 1000, 1),
        "postgresql_us": round(spent.postgresql_us, 1),
        "by_statement_us": {
            name: round(used / spent.spans / 1000, 1)
            for name, used in sorted(metered.backend_ns.items(), key=lambda item: -item[1])
        },
        "resident_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }


async def measure(url: str, meters: int, days: int, rounds: int, keep: str | None) -> list[dict[str, Any]]:
    name = keep or f"nbwater_bench_{secrets.token_hex(4)}"
    administration = await asyncpg.connect(url)
    exists = await administration.fetchval("SELECT true FROM pg_database WHERE datname = $1", name)
    if not exists:
        await administration.execute(f"CREATE DATABASE {name}")
    database = named(url, name)
    if not exists:
        await migrate(database)
    owner = await asyncpg.connect(database)
    connection = await asyncpg.connect(database, server_settings={"jit": "off"})
    try:
        if not exists:
            await prepare(owner, meters, days)
        first = await owner.fetchval(f"SELECT extract(day FROM max(ts) - {T0})::int + 1 FROM readings")
        found = []
        for day in range(first, first + rounds):
            found.append(await one_round(connection, owner, day, meters))
            print(json.dumps(found[-1]), flush=True)
        return found
    finally:
        await owner.close()
        await connection.close()
        if keep is None:
            await administration.execute(f"DROP DATABASE {name} WITH (FORCE)")
        await administration.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", help="a server with or without TimescaleDB, as a user who may create databases")
    parser.add_argument("--meters", type=int, default=10_000)
    parser.add_argument("--days", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--keep", help="name of a database that is kept")
    chosen = parser.parse_args()
    gc.freeze()
    with server(chosen.url) as url:
        asyncio.run(measure(url, chosen.meters, chosen.days, chosen.rounds, chosen.keep))


if __name__ == "__main__":
    main()
