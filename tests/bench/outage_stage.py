"""The silence check of a city alone: ordinary silence, a radio cell that is out, a pusher that is out.

Meters report once a day, spread over it. Each case stops some of them twelve hours ago (so about half of these are
silent by now), runs rounds as the stage does every minute until one finds no more, then one in which nothing is new.
Counted are seconds, and CPU of the backend by statement.

``python -m tests.bench.outage_stage --url postgresql://… --meters 1000000`` makes a database of its own and drops it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg

from ingest.leaks.silence import MAX_ROUNDS, MAX_SILENT, SILENCE_EVERY_S, SilenceStage
from ingest.schema.migrate import migrate
from metering.clock import now_us
from metering.settings import SettlementSettings
from tests.bench import registered
from tests.bench.databases import own_database
from tests.bench.settlement import MeteredConnection

DAYS = 3
"""Of reports: what a rhythm is read from."""
OUT_H = 12
CASES = {
    "ordinary silence": "l.meter_id % 5000 = 17",
    "a cell is out": "l.cell_id = 7",
    "a pusher is out": "r.source LIKE 'product-1 %'",
}
"""Which meters' last so many hours of reports are taken away; one case after the other."""

_STOP = """
WITH gone AS (
    DELETE FROM reports r USING device_latest l
    WHERE l.device_id = r.device_id AND r.received_at > $1 AND {who}
    RETURNING r.device_id)
UPDATE device_latest l SET last_report_at = last_report_at - INTERVAL '1 day', last_report_id = r.report_id
FROM gone JOIN reports r ON r.device_id = gone.device_id
WHERE l.device_id = gone.device_id AND r.received_at = l.last_report_at - INTERVAL '1 day' AND r.received_at >= $2"""


class OneConnection:
    """As a pool, of one connection whose statements are measured."""

    def __init__(self, connection: MeteredConnection) -> None:
        self._connection = connection

    def acquire(self) -> OneConnection:
        return self

    async def __aenter__(self) -> MeteredConnection:
        return self._connection

    async def __aexit__(self, *_: object) -> None:
        pass


async def prepare(connection: Any, meters: int, now: datetime) -> None:
    """A registered city whose meters reported in each of the last DAYS days."""
    await registered.register(connection, meters)
    await report(connection, meters, now)


async def report(connection: Any, meters: int, now: datetime) -> None:
    for day in range(DAYS, 0, -1):
        await registered.report_a_day(connection, meters, now - timedelta(days=day))
    await registered.make_latest(connection, now - timedelta(days=1))


async def rounds(connection: Any, progress: Callable[[str], None], now: datetime) -> list[dict[str, Any]]:
    found = [await timed(connection, "nobody is silent")]
    for name, who in CASES.items():
        since = now - timedelta(hours=OUT_H)
        await connection.execute(_STOP.format(who=who), since, now - timedelta(days=2))
        await connection.execute("ANALYZE device_latest")
        found.append(await timed(connection, name))
        found.append(await timed(connection, f"{name}, nothing new"))
        progress(f"outages: {json.dumps(found[-2:])}")
    return found


async def timed(connection: Any, name: str) -> dict[str, Any]:
    """Rounds until one finds nothing more, at most as many as the stage runs without a pause."""
    metered = MeteredConnection(connection)
    stage = SilenceStage(OneConnection(metered), SettlementSettings())
    cpu, each, looked = metered.cpu_ns(), [], 0
    for _ in range(MAX_ROUNDS):
        began = time.monotonic()
        taken = await stage.check(now_us())
        each.append(time.monotonic() - began)
        looked += taken
        if taken < MAX_SILENT:
            break
    spent_s = (metered.cpu_ns() - cpu) / 1e9
    return {
        "what": name, "found": looked, "rounds": len(each), "seconds": round(sum(each), 2),
        "longest_round_s": round(max(each), 2), "backend_cpu_s": round(spent_s, 2),
        "share_of_period": round(sum(each) / (SILENCE_EVERY_S + sum(each)), 3),
        "alerts": await connection.fetchval("SELECT count(*) FROM alerts"),
        "by_statement_s": {
            statement: round(used / 1e9, 3)
            for statement, used in sorted(metered.backend_ns.items(), key=lambda item: -item[1])[:6]
        },
    }  # fmt: skip


async def measured(given: str | None, meters: int, progress: Callable[[str], None]) -> list[dict[str, Any]]:
    async with own_database(given) as url:
        await migrate(url)
        connection = await asyncpg.connect(url, server_settings={"jit": "off"})
        try:
            now = datetime.now(UTC)
            await prepare(connection, meters, now)
            return await rounds(connection, progress, now)
        finally:
            await connection.close()


def measure(progress: Callable[[str], None], server_url: str, quick: bool = False) -> dict[str, Any]:
    """As a section of `make bench`."""
    return {"rounds": asyncio.run(measured(server_url, 5_000 if quick else 200_000, progress))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", help="a server with or without TimescaleDB, as a user who may create databases")
    parser.add_argument("--meters", type=int, default=100_000)
    chosen = parser.parse_args()
    for each in asyncio.run(measured(chosen.url, chosen.meters, print)):
        print(json.dumps(each), flush=True)


if __name__ == "__main__":
    main()
