"""From the passing of time to alerts: meters that were not heard of for too long."""

from __future__ import annotations

import asyncio
from datetime import datetime

import asyncpg
import structlog
from prometheus_client import Counter

from metering.clock import now_us
from metering.consumption import HOUR_S
from metering.settings import OutageSettings, SettlementSettings

from . import alerts, outages

SILENT = "silent"
SILENCE_EVERY_S = 60.0
CATCH_UP_S = 60.0
"""Ingest has so long after its start to take the first reports of a backlog before anyone is called silent."""
DEFAULT_OUTAGE = OutageSettings()  # type: ignore[call-arg] # the mypy plugin of pydantic is not in use
MAX_SILENT = 5_000
"""Silence alerts raised or ended in one transaction; a failed network must not make one of a million rows."""
MAX_ROUNDS = 20

FAILURES = Counter("nbwater_settlement_silence_failures_total", "Rounds of the silence check that were rolled back")

_NOW = "SELECT LEAST(now(), to_timestamp($1::bigint / 1e6::float8))"

_SILENT_METERS = """
WITH clock AS (
    SELECT CASE WHEN max(last_report_at) > $4::timestamptz - make_interval(secs => $1)
                THEN LEAST(max(last_report_at), $4) ELSE $4 END AS heard
    FROM device_latest
)
SELECT i.meter_id, ceil(extract(epoch FROM since.heard_at))::bigint, l.last_report_at IS NOT NULL
FROM clock, installations i
JOIN devices d USING (device_id)
LEFT JOIN device_latest l USING (device_id)
CROSS JOIN LATERAL (SELECT COALESCE(l.last_report_at, GREATEST(i.valid_from, d.registered_at)) AS heard_at) since
WHERE i.valid_to IS NULL AND d.enabled
  AND since.heard_at < clock.heard - make_interval(secs => $1)
  AND i.valid_from < $4 - make_interval(secs => $1)
  AND NOT EXISTS (
      SELECT FROM alerts a
      WHERE a.meter_id = i.meter_id AND a.kind = $2 AND (
          (a.state IN ('open', 'acknowledged') AND a.ended_at IS NULL)
          OR (a.state IN ('resolved', 'dismissed') AND a.started_at >= since.heard_at)))
  AND NOT EXISTS (
      SELECT FROM alert_meters am JOIN alerts o USING (alert_id)
      WHERE am.meter_id = i.meter_id
        AND CASE WHEN o.ended_at IS NULL THEN o.state <> 'resolved'
                 ELSE o.ended_at >= clock.heard - make_interval(secs => $1) END)
  AND (NOT EXISTS (SELECT FROM alert_suppressions WHERE valid_to > $4)
       OR alert_suppressed_until(i.meter_id, NULL, $2, $4) IS NULL)
LIMIT $3"""

_HEARD_AGAIN = """
SELECT a.meter_id, ceil(extract(epoch FROM GREATEST(l.last_report_at, a.last_seen_at)))::bigint
FROM alerts a
JOIN installations i ON i.meter_id = a.meter_id AND i.valid_to IS NULL
JOIN device_latest l USING (device_id)
WHERE a.kind = $1 AND a.state <> 'resolved' AND a.ended_at IS NULL AND l.last_report_at > a.started_at
  AND l.last_report_at >= $4::timestamptz - make_interval(secs => $2)
LIMIT $3"""


class SilenceStage:
    """Raises an alert for each installed, enabled meter that was not heard for `silence_after_h`; ends it when it was.

    By receive time, counted to the newest report of any meter: while ingest catches up after an outage, or nothing
    comes in for hours, no single meter is to blame. When nobody was heard for that long, all are silent. The time is
    the earlier of the database's clock and ours, and no report is newer than that: one of the two alone that runs
    ahead, or a gateway's, makes nobody silent; one that is behind lets silence be found so much later. A meter that
    never reported is given the same time from its installation or registration on, whichever is later. Many that fell
    silent together are one event, see `outages`, and have that time once more from its end on: who reports once a day
    needs a day to be heard. Those whose silence is suppressed start none. Runs until cancelled.
    """

    def __init__(
        self, pool: asyncpg.Pool, settings: SettlementSettings, outage: OutageSettings = DEFAULT_OUTAGE
    ) -> None:
        self._pool, self._after_s, self._outage = pool, settings.silence_after_h * HOUR_S, outage
        self._log = structlog.get_logger().bind(stage="silence")

    async def run(self) -> None:
        await asyncio.sleep(CATCH_UP_S)
        while True:
            try:
                for _ in range(MAX_ROUNDS):
                    if await self.check(now_us()) < MAX_SILENT:
                        break
            except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
                FAILURES.inc()
                self._log.warning("silence check failed", error=str(error))
            await asyncio.sleep(SILENCE_EVERY_S)

    async def check(self, our_now_us: int) -> int:
        """One round; returns how many alerts were raised or ended, whichever is more, at most MAX_SILENT.
        `our_now_us`: Unix time by the clock of this program."""
        async with self._pool.acquire() as connection, connection.transaction():
            now: datetime = await connection.fetchval(_NOW, our_now_us)
            now_s = int(now.timestamp())
            await outages.end_outages(connection, self._outage)
            silent = await connection.fetch(_SILENT_METERS, self._after_s, SILENT, MAX_SILENT, now)
            heard_once = [(meter_id, since_s) for meter_id, since_s, reported in silent if reported]
            if heard_once and await outages.raise_outages(connection, heard_once, now_s, self._outage):
                silent = await connection.fetch(_SILENT_METERS, self._after_s, SILENT, MAX_SILENT, now)
            findings = [self._finding(meter, since_s, reported, now_s) for meter, since_s, reported in silent]
            await alerts.raise_or_update(connection, findings)
            heard = await connection.fetch(_HEARD_AGAIN, SILENT, self._after_s, MAX_SILENT, now)
            await alerts.end(connection, [alerts.Ended(meter_id, SILENT, at_s) for meter_id, at_s in heard])
            return max(len(silent), len(heard))

    def _finding(self, meter_id: int, since_s: int, reported: bool, now_s: int) -> alerts.Finding:
        evidence = {
            "last_report_at": alerts.instant(since_s).isoformat() if reported else None,
            "installed_at": None if reported else alerts.instant(since_s).isoformat(),
            "silence_after_h": self._after_s / HOUR_S,
        }
        return alerts.Finding(meter_id, SILENT, "warning", since_s, now_s, now_s, now_s, None, evidence)
