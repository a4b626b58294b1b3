"""What goes on while a billing period is closed: settlement, ingest and questions of billing, each wait taken."""

from __future__ import annotations

import asyncio
import contextlib
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import asyncpg

from api.database import ReadPool, open_read_pool
from api.queries.billing import get_period, list_periods
from api.queries.billing_ledger import list_corrections
from api.queries.billing_lines import METERS_A_PAGE, pages_of_lines
from ingest.settlement.stage import SettlementStage
from metering.settings import SettlementSettings

ZONE = ZoneInfo("Asia/Shanghai")
NEW_DAY = datetime(2026, 4, 3, tzinfo=ZONE)
METERS_A_BATCH = 500
EVERY_S = 0.25

_TAKE = """
WITH new AS (
    INSERT INTO readings (meter_id, ts, kind, index_ml)
    SELECT m, $1::timestamptz + make_interval(hours => h), 0, 1000::bigint * (m * 100 + greatest(h - 4, 0) * 8)
    FROM generate_series($2::int, $3::int) m, generate_series(0, 24) h
    ON CONFLICT DO NOTHING RETURNING meter_id, ts)
INSERT INTO touched_spans (meter_id, from_ts, to_ts) SELECT meter_id, min(ts), max(ts) FROM new GROUP BY meter_id"""


class Waits:
    """Seconds of each act, by its name."""

    def __init__(self) -> None:
        self._of: dict[str, list[float]] = {}

    async def of(self, name: str, act: Awaitable[Any]) -> None:
        began = time.monotonic()
        await act
        self._of.setdefault(name, []).append(time.monotonic() - began)

    def told(self) -> dict[str, dict[str, float]]:
        return {
            name: {
                "times": len(waits), "median_ms": round(1e3 * statistics.median(waits), 1),
                "most_ms": round(1e3 * max(waits), 1),
            }
            for name, waits in self._of.items()
        }  # fmt: skip


@contextlib.asynccontextmanager
async def going_on(url: str, closed: str, open_: str) -> AsyncIterator[Callable[[], Waits]]:
    """Until the block ends. Each call of what it gives begins new lists of waits, and returns those until then."""
    waits = [Waits()]

    def begun_anew() -> Waits:
        waits.insert(0, Waits())
        return waits[1]

    ingest, settling = await asyncpg.connect(url), await asyncpg.connect(url, server_settings={"jit": "off"})
    pool = await open_read_pool(url, 2)
    tasks = [
        asyncio.create_task(acts)
        for acts in (_ingest(ingest, waits), _settle(settling, waits), _ask(pool, waits, closed, open_))
    ]
    try:
        yield begun_anew
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(ingest.close(), settling.close(), pool.close())


async def _ingest(connection: Any, waits: list[Waits]) -> None:
    """A transaction as ingest's: a new day of some meters, and their spans."""
    meters = await connection.fetchval("SELECT max(meter_id) FROM meters")
    first = 1
    while True:
        taken = connection.execute(_TAKE, NEW_DAY, first, first + METERS_A_BATCH - 1)
        await waits[0].of(f"ingest, {METERS_A_BATCH} meters' day", taken)
        first = 1 + (first + METERS_A_BATCH - 1) % meters
        await asyncio.sleep(EVERY_S)


async def _settle(connection: Any, waits: list[Waits]) -> None:
    stage = SettlementStage(connection, SettlementSettings(), ZONE)
    while True:
        await waits[0].of("settlement, a batch", stage.settle_batch())
        await asyncio.sleep(EVERY_S)


async def _ask(pool: ReadPool, waits: list[Waits], closed: str, open_: str) -> None:
    while True:
        await waits[0].of("list of periods", list_periods(pool))
        await waits[0].of("first page of the ledger", list_corrections(pool, closed))
        pages = pages_of_lines(pool, await get_period(pool, open_), ZONE)
        await waits[0].of(f"{METERS_A_PAGE} lines of the open period", anext(pages))
        await asyncio.sleep(EVERY_S)
