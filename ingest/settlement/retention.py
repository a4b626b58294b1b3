"""Forgets old raw bytes and report rows where the database has no retention policies of its own.

Age is counted up to the newest row, by the gateways' clocks: a clock of the database that is years ahead must not make
all that was ever received look old.
"""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg
import structlog

log = structlog.get_logger()

EVERY_S = 3600.0
SLICE_ROWS = 20_000
KEEP_REPORTS_DAYS = 3 * 365
"""As the policy of the hypertable."""

_HYPERTABLES = "SELECT bool_or(timescale) FROM schema_migrations"
_DELETE = """
    DELETE FROM {table} WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM {table}
        WHERE received_at < LEAST(now(), (SELECT max(received_at) FROM {table})) - make_interval(days => $1) LIMIT $2))
"""


class RetentionStage:
    """Deletes in slices, each its own short transaction. TimescaleDB drops whole chunks by policy instead."""

    def __init__(self, pool: Any, keep_raw_days: int) -> None:
        self._pool = pool
        self._days = {"raw_reports": keep_raw_days, "reports": max(keep_raw_days, KEEP_REPORTS_DAYS)}

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                await self.forget()
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
                log.warning("retention_put_off", error=type(error).__name__)
            await asyncio.sleep(EVERY_S)

    async def forget(self) -> int:
        """Delete what is too old; returns the number of rows."""
        if await self._pool.fetchval(_HYPERTABLES):
            return 0
        return sum([await self._forget_table(table, days) for table, days in self._days.items()])

    async def _forget_table(self, table: str, days: int) -> int:
        total = 0
        while True:
            done = await self._pool.execute(_DELETE.format(table=table), days, SLICE_ROWS)
            deleted = int(done.rpartition(" ")[2])
            total += deleted
            if deleted < SLICE_ROWS:
                return total
