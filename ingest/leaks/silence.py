"""From the passing of time to alerts: meters that were not heard of for too long."""

from __future__ import annotations

import asyncio

import asyncpg
import structlog
from prometheus_client import Counter

from metering.clock import now_us
from metering.consumption import HOUR_S
from metering.settings import OutageSettings, SettlementSettings

from . import alerts, outages
from .outage_rows import OVER_AT

SILENT = "silent"
SILENCE_EVERY_S = 60.0
CATCH_UP_S = 60.0
"""Ingest has so long after its start to take the first reports of a backlog before anyone is called silent."""
DEFAULT_OUTAGE = OutageSettings()  # type: ignore[call-arg] # the mypy plugin of pydantic is not in use
MAX_SILENT = 5_000
"""Silence alerts raised or ended in one transaction; a failed network must not make one of a million rows."""
MAX_ROUNDS = 20

FAILURES = Counter("nbwater_settlement_silence_failures_total", "Rounds of the silence check that were rolled back")

_CLOCK = """
SELECT clock.now, COALESCE(newest, clock.now) AS newest,
       CASE WHEN newest > clock.now - make_interval(secs => $2) THEN LEAST(newest, clock.now) ELSE clock.now END
           - make_interval(secs => $2) AS silent_before
FROM (SELECT LEAST(now(), to_timestamp($1::bigint / 1e6::float8)) AS now) clock,
     (SELECT max(last_report_at) AS newest FROM device_latest) reports"""

_SILENT_METERS = f"""
SELECT i.meter_id, ceil(extract(epoch FROM since.heard_at))::bigint AS since_s, l.last_report_at IS NOT NULL AS reported
FROM installations i
JOIN devices d USING (device_id)
LEFT JOIN device_latest l USING (device_id)
CROSS JOIN LATERAL (SELECT COALESCE(l.last_report_at, GREATEST(i.valid_from, d.registered_at)) AS heard_at) since
WHERE i.valid_to IS NULL AND d.enabled AND since.heard_at < $4
  AND i.valid_from < $3::timestamptz - make_interval(secs => $5)
  AND NOT EXISTS (
      SELECT FROM alerts a
      WHERE a.meter_id = i.meter_id AND a.kind = $1 AND (
          (a.state IN ('open', 'acknowledged') AND a.ended_at IS NULL)
          OR (a.state IN ('resolved', 'dismissed') AND a.started_at >= since.heard_at AND NOT a.evidence ? 'outage')))
  AND NOT EXISTS (
      SELECT FROM alert_meters am JOIN alerts a USING (alert_id)
      WHERE am.meter_id = i.meter_id AND ({OVER_AT} IS NULL OR {OVER_AT} >= $4))
  AND (NOT EXISTS (SELECT FROM alert_suppressions WHERE valid_to > $3)
       OR alert_suppressed_until(i.meter_id, NULL, $1, $3) IS NULL)
LIMIT $2"""  # noqa: S608 - joins constants

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
    never reported is given the same time from its installation or registration on, whichever is later. Many that are
    missing together are one event, see `outages`, and have that time once more from its end on: who reports once a day
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
        """One round; returns how many silent meters were found or alerts ended, whichever is more, at most MAX_SILENT.
        `our_now_us`: Unix time by the clock of this program."""
        async with self._pool.acquire() as connection, connection.transaction():
            now, newest, silent_before = await connection.fetchrow(_CLOCK, our_now_us, self._after_s)
            at = outages.Round(now, newest, silent_before, self._after_s)
            await outages.end_outages(connection, at)
            silent = await connection.fetch(_SILENT_METERS, SILENT, MAX_SILENT, now, silent_before, self._after_s)
            heard_once = [row["meter_id"] for row in silent if row["reported"]]
            together = await outages.take_in(connection, heard_once, at, self._outage)
            now_s = int(now.timestamp())
            alone = [
                self._finding(meter_id, since_s, reported, now_s)
                for meter_id, since_s, reported in silent
                if meter_id not in together
            ]
            await alerts.raise_or_update(connection, alone)
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
