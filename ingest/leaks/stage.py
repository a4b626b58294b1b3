"""From rules to alerts: continuous flow when settlement has new readings, silence as time passes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import asyncpg
import numpy as np
import structlog
from prometheus_client import Counter

from ingest.meters import Meters
from metering.consumption import HOUR_S, Curve, Ints
from metering.settings import SettlementSettings

from . import alerts, rules

CONTINUOUS_FLOW = "continuous_flow"
SILENT = "silent"
SILENCE_EVERY_S = 60.0
CATCH_UP_S = 60.0
"""Ingest has so long after its start to take the first reports of a backlog before anyone is called silent."""
MAX_SILENT = 5_000
"""Silence alerts raised or ended in one transaction; a failed network must not make one of a million rows."""
MAX_ROUNDS = 20
NEVER_S = 2**40

FAILURES = Counter("nbwater_settlement_silence_failures_total", "Rounds of the silence check that were rolled back")

_LASTING = """
SELECT meter_id, extract(epoch FROM last_seen_at)::bigint FROM alerts
WHERE kind = $1 AND meter_id = ANY($2::bigint[]) AND state <> 'resolved' AND ended_at IS NULL"""


async def find_continuous_flow(connection: Any, curve: Curve, meters: Meters) -> None:
    """Raises, updates and ends the alerts of the meters on the curve, inside the caller's transaction.

    `meters` has an entry for each position of a meter in the curve; one meter may stand at several.
    """
    meter_id = meters.meter_id
    thresholds = rules.threshold_ml_h(meters.dn_mm, meters.pulse_ml)
    hours = rules.hours(curve, thresholds)
    newest: dict[int, alerts.Finding] = {}
    ended: dict[int, alerts.Ended] = {}
    for flow in rules.continuous_flow(hours):
        at = flow.meter
        finding = _finding(flow, int(meter_id[at]), int(thresholds[at]), int(meters.q3_l_h[at]))
        if finding.meter_id not in newest or newest[finding.meter_id].seen_at_s < finding.seen_at_s:
            newest[finding.meter_id] = finding
            ended.pop(finding.meter_id, None)
            if flow.ended_at_s is not None:
                ended[finding.meter_id] = alerts.Ended(finding.meter_id, CONTINUOUS_FLOW, flow.ended_at_s)
    await alerts.raise_or_update(connection, list(newest.values()))
    lasting = await connection.fetch(_LASTING, CONTINUOUS_FLOW, np.unique(meter_id).tolist())
    ended.update((end.meter_id, end) for end in _ended(hours, meter_id, dict(map(tuple, lasting))))
    await alerts.end(connection, list(ended.values()))


def _ended(hours: rules.Hours, meter_id: Ints, last_seen_s: dict[int, int]) -> Iterator[alerts.Ended]:
    """Which lasting alerts (meter → last seen) found an hour without flow since."""
    after_s = np.array([last_seen_s.get(meter, NEVER_S) for meter in meter_id.tolist()], np.int64)
    for at, end_s in rules.first_rests(hours, after_s).items():
        yield alerts.Ended(int(meter_id[at]), CONTINUOUS_FLOW, end_s)


def _finding(flow: rules.ContinuousFlow, meter_id: int, threshold_ml_h: int, q3_l_h: int) -> alerts.Finding:
    measured = [volume for volume in flow.hourly_ml if volume is not None]
    from_s = flow.seen_at_s - rules.WINDOW_H * HOUR_S
    evidence = {
        "rule": f"flow in each of the last {rules.WINDOW_H} hours",
        "hours": rules.WINDOW_H,
        "measured_hours": len(measured),
        "threshold_ml_h": threshold_ml_h,
        "minimum_ml_h": flow.rate_ml_h,
        "volume_ml": sum(measured),
        "from": alerts.instant(from_s).isoformat(),
        "to": alerts.instant(flow.seen_at_s).isoformat(),
        "hourly_ml": flow.hourly_ml,
    }
    urgent = flow.rate_ml_h >= rules.URGENT_Q3_SHARE * q3_l_h * 1_000
    return alerts.Finding(
        meter_id, CONTINUOUS_FLOW, "critical" if urgent else "warning", flow.started_at_s, from_s, flow.raised_at_s,
        flow.seen_at_s, flow.rate_ml_h, evidence,
    )  # fmt: skip


_SILENT_METERS = """
WITH clock AS (
    SELECT CASE WHEN max(last_report_at) > now() - make_interval(secs => $1)
                THEN max(last_report_at) ELSE now() END AS heard
    FROM device_latest
)
SELECT i.meter_id, ceil(extract(epoch FROM since.heard_at))::bigint,
       l.last_report_at IS NOT NULL, floor(extract(epoch FROM now()))::bigint
FROM clock, installations i
JOIN devices d USING (device_id)
LEFT JOIN device_latest l USING (device_id)
CROSS JOIN LATERAL (SELECT COALESCE(l.last_report_at, GREATEST(i.valid_from, d.registered_at)) AS heard_at) since
WHERE i.valid_to IS NULL AND d.enabled
  AND since.heard_at < clock.heard - make_interval(secs => $1)
  AND i.valid_from < now() - make_interval(secs => $1)
  AND NOT EXISTS (
      SELECT FROM alerts a
      WHERE a.meter_id = i.meter_id AND a.kind = $2 AND (
          (a.state IN ('open', 'acknowledged') AND a.ended_at IS NULL)
          OR (a.state IN ('resolved', 'dismissed') AND a.started_at >= since.heard_at)))
LIMIT $3"""

_HEARD_AGAIN = """
SELECT a.meter_id, ceil(extract(epoch FROM GREATEST(l.last_report_at, a.last_seen_at)))::bigint
FROM alerts a
JOIN installations i ON i.meter_id = a.meter_id AND i.valid_to IS NULL
JOIN device_latest l USING (device_id)
WHERE a.kind = $1 AND a.state <> 'resolved' AND a.ended_at IS NULL AND l.last_report_at > a.started_at
  AND l.last_report_at >= now() - make_interval(secs => $2)
LIMIT $3"""


class SilenceStage:
    """Raises an alert for each installed, enabled meter that was not heard for `silence_after_h`; ends it when it was.

    By receive time, counted to the newest report of any meter: while ingest catches up after an outage, or nothing
    comes in for hours, no single meter is to blame. When nobody was heard for that long, all are silent. A meter that
    never reported is given the same time from its installation or registration on, whichever is later. Runs until
    cancelled.
    """

    def __init__(self, pool: asyncpg.Pool, settings: SettlementSettings) -> None:
        self._pool, self._after_s = pool, settings.silence_after_h * HOUR_S
        self._log = structlog.get_logger().bind(stage="silence")

    async def run(self) -> None:
        await asyncio.sleep(CATCH_UP_S)
        while True:
            try:
                for _ in range(MAX_ROUNDS):
                    if await self.check() < MAX_SILENT:
                        break
            except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
                FAILURES.inc()
                self._log.warning("silence check failed", error=str(error))
            await asyncio.sleep(SILENCE_EVERY_S)

    async def check(self) -> int:
        """One round; returns how many alerts were raised or ended, whichever is more, at most MAX_SILENT."""
        async with self._pool.acquire() as connection, connection.transaction():
            silent = await connection.fetch(_SILENT_METERS, self._after_s, SILENT, MAX_SILENT)
            await alerts.raise_or_update(connection, [self._finding(*row) for row in silent])
            heard = await connection.fetch(_HEARD_AGAIN, SILENT, self._after_s, MAX_SILENT)
            await alerts.end(connection, [alerts.Ended(meter_id, SILENT, at_s) for meter_id, at_s in heard])
            return max(len(silent), len(heard))

    def _finding(self, meter_id: int, since_s: int, reported: bool, now_s: int) -> alerts.Finding:
        evidence = {
            "last_report_at": alerts.instant(since_s).isoformat() if reported else None,
            "installed_at": None if reported else alerts.instant(since_s).isoformat(),
            "silence_after_h": self._after_s / HOUR_S,
        }
        return alerts.Finding(meter_id, SILENT, "warning", since_s, now_s, now_s, now_s, None, evidence)
