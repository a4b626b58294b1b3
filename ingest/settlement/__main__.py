"""The settlement program's composition root: a process of its own that shares only the database with ingest.

One process settles at a time: the one whose connection holds an advisory lock. Others stand by and take over when that
connection ends, with its process or without. The lock's connection is the one that settles, so that whoever lost the
lock cannot commit.
"""

from __future__ import annotations

import asyncio
import gc
import sys
from typing import Any

import structlog
import uvloop

from ingest.districts.stage import DistrictStage
from ingest.leaks.closed_valves import ClosedValveStage
from ingest.leaks.live.stage import LeakStage
from ingest.leaks.silence import SilenceStage
from ingest.program import (
    CONNECT_TIMEOUT_S,
    RETRY_S,
    Stage,
    close_pool,
    connect,
    open_pool,
    patiently,
    serve_until_stopped,
)
from metering.errors import SettingsError
from metering.process import ended, run_program, say
from metering.settings import (
    BillingSettings,
    ConsumptionSettings,
    DatabaseSettings,
    DistrictSettings,
    LeakSettings,
    OutageSettings,
    SettlementSettings,
    UtilitySettings,
    load,
)
from metering.telemetry import TelemetryServer

from .metrics import LEADS
from .retention import RetentionStage
from .stage import LOST, SettlementStage

log = structlog.get_logger()

LOCK = 7_310_188_001
"""Advisory lock: two settlements of one meter at once could write a day from readings that one of them did not see."""
STAND_BY_S = 1.0
POOL_CONNECTIONS = 4
"""One looks for silence, one forgets, one balances districts, one looks for leaks; who settles has a connection of its
own."""
DRAIN_S = 20.0
"""For the batch in hand; after it the transaction is given up, and its spans are settled at the next start."""
GC_THRESHOLD = 100_000
"""As in ingest: rows and arrays are freed by their reference counts, the collector only walks through them."""


class Settlement:
    """All parts of one process."""

    def __init__(self) -> None:
        self._settings, self._utility = load(SettlementSettings), load(UtilitySettings)
        self._url = load(DatabaseSettings).url.get_secret_value()
        if not self._url:
            raise SettingsError("database.url is empty: set NBWATER_DATABASE_URL or start settlement with `nbwater up`")
        lease = f"{self._settings.lease_s:.0f}s"
        self._abandoned = {"idle_session_timeout": lease, "idle_in_transaction_session_timeout": lease}
        """A process that is frozen, not dead, answers keepalives: the server takes the lock away from it by these."""
        self._stop = asyncio.Event()
        self._serving = False

    async def run(self) -> None:
        """Until SIGTERM or SIGINT. Raises StartError when it cannot serve; a database that is away is waited for."""
        telemetry = TelemetryServer(self._settings.metrics_host, self._settings.metrics_port, lambda: self._serving)
        await serve_until_stopped(telemetry, self._stop, self._serve, lambda: self._serving)

    async def _serve(self, metrics_port: int) -> None:
        pool = await patiently("database", lambda: open_pool(self._url, "settlement", POOL_CONNECTIONS))
        self._serving = True
        say(ready="settlement", port=metrics_port, metrics_port=metrics_port)
        log.info("settlement_runs", metrics_port=metrics_port)
        try:
            while not self._stop.is_set():
                await self._lead(pool)
        finally:
            await close_pool(pool)

    async def _lead(self, pool: Any) -> None:
        """Stand by until the lock is ours, then work until the stop or until its connection is lost."""
        try:
            connection = await connect(self._url, "settlement", **self._abandoned)
            try:
                if await self._take_lock(connection):
                    await self._run_stages(pool, connection)
            finally:
                LEADS.set(0)
                await connection.close(timeout=CONNECT_TIMEOUT_S)
        except LOST as error:
            log.warning("waiting_for", what="database", error=type(error).__name__, detail=str(error)[:200])
            await asyncio.sleep(RETRY_S)

    async def _take_lock(self, connection: Any) -> bool:
        """False: stopped before it was ours."""
        told = False
        while not self._stop.is_set():
            if await connection.fetchval("SELECT pg_try_advisory_lock($1)", LOCK):
                log.info("settlement_leads")
                LEADS.set(1)
                return True
            if not told:
                log.info("settlement_stands_by")
                told = True
            await asyncio.sleep(STAND_BY_S)
        return False

    async def _run_stages(self, pool: Any, connection: Any) -> None:
        rules = load(ConsumptionSettings).rules._replace(settlement_day=load(BillingSettings).settlement_day)
        leaks = load(LeakSettings)
        settlement = SettlementStage(connection, self._settings, self._utility.zone, rules, leaks)
        stages: dict[str, Stage] = {
            "silence": SilenceStage(pool, self._settings, load(OutageSettings)),
            "closed valves": ClosedValveStage(pool),
            "districts": DistrictStage(pool, self._utility.zone, load(DistrictSettings)),
            "leaks": LeakStage(pool, self._utility.zone, leaks),
            "retention": RetentionStage(pool, self._settings.keep_raw_days),
        }
        async with asyncio.TaskGroup() as group:
            settling = group.create_task(settlement.run(), name="settlement")
            beside = [group.create_task(stage.run(), name=name) for name, stage in stages.items()]
            stopping = group.create_task(self._stop.wait(), name="stop")
            await asyncio.wait((settling, stopping), return_when=asyncio.FIRST_COMPLETED)
            settlement.stop()
            await asyncio.wait((settling,), timeout=DRAIN_S)
            await ended(settling, stopping, *beside)


async def serve() -> None:
    """The process, with the settings of its environment. Raises SettingsError and StartError."""
    await Settlement().run()


def main() -> int:
    """The exit code, see `run_program`."""
    gc.set_threshold(GC_THRESHOLD)
    return run_program("settlement", serve, uvloop.run)


if __name__ == "__main__":
    sys.exit(main())
