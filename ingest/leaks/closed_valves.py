"""Water behind a valve that was closed: the readings after a confirmed close prove it, or disprove it.

The meter said that it closed its valve; from its first reading after that on the register should stand still. When it
moves, the valve leaks, sticks, or is not where the water goes.
"""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg
import structlog
from prometheus_client import Counter

from metering.commands import travelling_id
from metering.consumption import HOUR_S

from . import alerts

FLOW_AFTER_CLOSE = "flow_after_close"
EVERY_S = 60.0
MIN_PULSES = 2
"""A register may turn by one count though nothing flows."""

MAX_FOUND = 5_000
FAILURES = Counter("nbwater_settlement_closed_valves_failures_total", "Rounds of the check that were rolled back")

_NEWEST = """
WITH newest AS (
    SELECT DISTINCT ON (meter_id) meter_id, command_id, ended_at, arguments->>'0' AS valve
    FROM commands
    WHERE kind = 2 AND state = 'confirmed' AND meter_id IS NOT NULL
    ORDER BY meter_id, ended_at DESC
)"""
"""The last that each meter was told of its valve, and did."""

_FLOWING = f"""{_NEWEST}
SELECT n.meter_id, n.command_id, extract(epoch FROM n.ended_at)::bigint AS closed_s,
       ceil(extract(epoch FROM first.ts))::bigint AS first_s, floor(extract(epoch FROM last.ts))::bigint AS last_s,
       last.index_ml - first.index_ml AS volume_ml
FROM newest n
JOIN meters m USING (meter_id)
CROSS JOIN LATERAL (SELECT ts, index_ml FROM readings r WHERE r.meter_id = n.meter_id AND ts >= n.ended_at
                    ORDER BY ts LIMIT 1) first
CROSS JOIN LATERAL (SELECT ts, index_ml FROM readings r WHERE r.meter_id = n.meter_id AND ts >= n.ended_at
                    ORDER BY ts DESC LIMIT 1) last
WHERE n.valve = '1' AND last.ts > first.ts AND last.index_ml - first.index_ml >= $1 * m.pulse_ml
LIMIT $2"""  # noqa: S608 - joins two constants
_OPENED = f"""{_NEWEST}
SELECT a.meter_id, ceil(extract(epoch FROM GREATEST(n.ended_at, a.last_seen_at)))::bigint AS opened_s
FROM alerts a JOIN newest n USING (meter_id)
WHERE a.kind = $1 AND a.state <> 'resolved' AND a.ended_at IS NULL AND n.valve = '0'
LIMIT $2"""  # noqa: S608 - joins two constants


class ClosedValveStage:
    """Raises an alert for each meter that counts water after its valve was closed; ends it when it is opened again.
    Runs until cancelled."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool
        self._log = structlog.get_logger().bind(stage="closed valves")

    async def run(self) -> None:
        while True:
            try:
                await self.check()
            except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
                FAILURES.inc()
                self._log.warning("the check of closed valves failed", error=str(error))
            await asyncio.sleep(EVERY_S)

    async def check(self) -> None:
        """One round, MAX_FOUND at most."""
        async with self._pool.acquire() as connection, connection.transaction():
            flowing = await connection.fetch(_FLOWING, MIN_PULSES, MAX_FOUND)
            await alerts.raise_or_update(connection, [_finding(row) for row in flowing])
            opened = await connection.fetch(_OPENED, FLOW_AFTER_CLOSE, MAX_FOUND)
            ended = [alerts.Ended(row["meter_id"], FLOW_AFTER_CLOSE, row["opened_s"]) for row in opened]
            await alerts.end(connection, ended)


def _finding(row: Any) -> alerts.Finding:
    first_s, last_s, volume_ml = row["first_s"], row["last_s"], row["volume_ml"]
    evidence = {
        "command_id": travelling_id(row["command_id"]).hex(),
        "closed_at": alerts.instant(row["closed_s"]).isoformat(),
        "from": alerts.instant(first_s).isoformat(),
        "to": alerts.instant(last_s).isoformat(),
        "volume_ml": volume_ml,
    }
    rate_ml_h = volume_ml * HOUR_S // max(1, last_s - first_s)
    return alerts.Finding(
        row["meter_id"], FLOW_AFTER_CLOSE, "critical", first_s, first_s, last_s, last_s, rate_ml_h, evidence
    )
