"""Billing a city: closing a period, what is held up meanwhile, exports, the ledger, on TimescaleDB or PostgreSQL.

Days are laid down as settlement stores them (3 % of the days of a month are interpolated, 1 % estimated, with reasons),
and each meter has told its own settlement index, which closing compares. Each piece of work is a process of its own, so
that its highest memory is its own; CPU and memory of the backend that serves it are read from /proc, so the server must
run on this machine. Beside the closing others go on as in life, and each of their waits is taken: settlement of a few
meters' new readings, an ingest transaction, pages and REST of billing.

``python -m tests.bench.billing --url postgresql://… --meters 100000`` makes a database of its own and drops it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from datetime import UTC, date, datetime, timedelta
from typing import Any

import asyncpg

from api.accounts import create_user
from api.database import open_write_pool
from api.queries.billing import drop_period, open_period
from ingest.schema.migrate import migrate
from tests.bench import registered
from tests.bench.beside_closing import going_on
from tests.bench.billing_work import WHO, ZONE
from tests.bench.databases import own_database
from tests.bench.processes import python
from tests.bench.sections import Progress

FIRST, DAYS = date(2026, 3, 1), 31
LAST = FIRST + timedelta(days=DAYS - 1)
FORMS = ("csv", "parquet", "xlsx")
CLOSED, OPEN = "2026-03", "2026-04"
APRIL_DAYS = 3
"""Of the month after, which stays open."""
CORRECTED_SHARE = 0.06
"""Of the meters one day turns out different after closing."""
CORRECTED_AT_ONCE = 5_000
"""As many as settlement takes at a time."""
PEACE_S = 15.0
DAYS_AT_ONCE = 4

_DAYS = """
INSERT INTO settled_days (meter_id, day, start_index_ml, end_index_ml, consumption_ml, quality, reasons,
                          complete, readings)
SELECT m, $1::date + d, 1000::bigint * (m % 1000 * 1000 + d * (200 + m % 400)),
       1000::bigint * (m % 1000 * 1000 + (d + 1) * (200 + m % 400)), 1000 * (200 + m % 400),
       CASE odd WHEN 0 THEN 'estimated' WHEN 1 THEN 'interpolated' WHEN 2 THEN 'interpolated' WHEN 3 THEN 'interpolated'
                ELSE 'measured' END,
       CASE WHEN odd = 0 THEN '{gap,long_gap,profile}' WHEN odd < 4 THEN '{gap}' ELSE '{}' END::text[], true, 24
FROM generate_series($2::int, $3::int) d, generate_series(1, $4::int) m,
     LATERAL (SELECT (m::bigint * 7919 + d * 104729) % 100 AS odd) x"""
_CHANGED = """
UPDATE settled_days SET consumption_ml = consumption_ml - 1000, excluded_ml = excluded_ml + 1000
WHERE meter_id = ANY ($1::bigint[]) AND day = $2"""
_RECHECK = "SELECT billing_recheck($1::bigint[], $2::date, $2::date, $3)"


async def prepare(url: str, meters: int) -> None:
    await migrate(url)
    owner = await asyncpg.connect(url)
    try:
        if await owner.fetchval("SELECT bool_or(timescale) FROM schema_migrations"):
            await owner.execute("SELECT alter_job(job_id, scheduled => false) FROM timescaledb_information.jobs")
        await registered.register(owner, meters)
        for day in range(0, DAYS + APRIL_DAYS, DAYS_AT_ONCE):
            until = min(day + DAYS_AT_ONCE, DAYS + APRIL_DAYS) - 1
            await owner.execute(_DAYS, FIRST, day, until, meters)
        april = datetime(2026, 4, 1, tzinfo=ZONE)
        await registered.report_a_day(owner, meters, april, '{"settlement_index_ml": 1000000}')
        await registered.make_latest(owner, april)
        await owner.execute("VACUUM ANALYZE settled_days")
        await owner.execute("CHECKPOINT")
    finally:
        await owner.close()
    pool = await open_write_pool(url)
    await create_user(pool, WHO.login, WHO.role, "a password of the bench", actor="bench")
    now = datetime.now(UTC)
    await open_period(pool, WHO, CLOSED, FIRST, LAST, now)
    await open_period(pool, WHO, OPEN, LAST + timedelta(days=1), date(2026, 4, 30), now)
    await pool.close()


async def bill(url: str, progress: Progress, forms: tuple[str, ...]) -> dict[str, Any]:
    """All that is measured, on a prepared database."""
    found: dict[str, Any] = {}

    async def work(name: str, *what: str) -> None:
        found[name] = await done(url, *what)
        progress(f"billing: {name}: {json.dumps(found[name])}")

    await work("preview", "preview", CLOSED)
    async with going_on(url, CLOSED, OPEN) as waits:
        await asyncio.sleep(PEACE_S)
        found["in_peace"] = waits().told()
        await work("closing", "close", CLOSED)
        await asyncio.sleep(1)
        found["beside_closing"] = waits().told()
    progress(f"billing: others: {json.dumps({name: found[name] for name in ('in_peace', 'beside_closing')})}")
    for form in forms:
        await work(f"{form}_closed", form, CLOSED)
    for form in forms:
        await work(f"{form}_open", form, OPEN)
    found["correcting"] = await correct(url)
    progress(f"billing: correcting: {json.dumps(found['correcting'])}")
    await work("summary", "summary", CLOSED)
    await work("ledger", "ledger", CLOSED)
    found["drop_ms"] = await drop(url)
    return found


async def done(url: str, work: str, period: str) -> dict[str, Any]:
    """`billing_work` as a process."""
    command = python("tests.bench.billing_work", work, url, period)
    child = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    said, _ = await child.communicate()
    if child.returncode:
        raise RuntimeError(f"{work} of {period} ended with exit code {child.returncode}")
    found: dict[str, Any] = json.loads(said)
    return found


async def correct(url: str) -> dict[str, Any]:
    """What settlement does for a closed period when days of it were settled otherwise, in batches."""
    connection = await asyncpg.connect(url, server_settings={"jit": "off"})
    meters = int(CORRECTED_SHARE * await connection.fetchval("SELECT max(meter_id) FROM meters"))
    spent, corrections = 0.0, 0
    for first in range(1, meters + 1, CORRECTED_AT_ONCE):
        some = list(range(first, min(first + CORRECTED_AT_ONCE, meters + 1)))
        async with connection.transaction():
            await connection.execute(_CHANGED, some, FIRST)
            began = time.monotonic()
            corrections += await connection.fetchval(_RECHECK, some, FIRST, ZONE.key)
            spent += time.monotonic() - began
    await connection.close()
    return {"corrections": corrections, "seconds": round(spent, 2), "us_each": round(1e6 * spent / corrections)}


async def drop(url: str) -> float:
    """Milliseconds."""
    pool = await open_write_pool(url)
    began = time.monotonic()
    await drop_period(pool, WHO, OPEN, "of the bench")
    await pool.close()
    return round(1e3 * (time.monotonic() - began), 1)


async def measured(given: str | None, meters: int, progress: Progress, forms: tuple[str, ...]) -> dict[str, Any]:
    async with own_database(given) as url:
        began = time.monotonic()
        await prepare(url, meters)
        progress(f"billing: {meters} meters laid down in {time.monotonic() - began:.0f} s")
        return {"meters": meters} | await bill(url, progress, forms)


def measure(progress: Progress, server_url: str, quick: bool = False) -> dict[str, Any]:
    """As a section of `make bench`."""
    return asyncio.run(measured(server_url, 2_000 if quick else 100_000, progress, FORMS))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", help="a server with or without TimescaleDB, as a user who may create databases")
    parser.add_argument("--meters", type=int, default=100_000)
    parser.add_argument("--forms", nargs="*", choices=FORMS, default=FORMS)
    chosen = parser.parse_args()
    print(json.dumps(asyncio.run(measured(chosen.url, chosen.meters, print, tuple(chosen.forms)))))


if __name__ == "__main__":
    main()
