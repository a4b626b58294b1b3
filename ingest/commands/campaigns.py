"""How firmware campaigns end: too many failures, and nobody more is told; or every meter has said how it went."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import structlog

from ingest.commands.ledger import write_down
from ingest.commands.life import Said
from metering.commands import CommandState

MAX_CALLED_BACK = 1_000
"""In one go; the next round takes the rest."""

_FAILING = """
    UPDATE campaigns k SET state = 'stopped', why = t.failed || ' of ' || t.ended || ' failed'
    FROM (
        SELECT campaign_id, count(*) FILTER (WHERE c.state IN ('failed', 'refused')) AS failed,
               count(*) FILTER (WHERE c.state IN ('failed', 'refused', 'confirmed')) AS ended
        FROM campaigns JOIN commands c USING (campaign_id) WHERE campaigns.state = 'running' GROUP BY campaign_id) t
    WHERE k.campaign_id = t.campaign_id AND k.state = 'running'
      AND t.failed >= k.stop_after AND t.failed > k.stop_share * t.ended
    RETURNING k.campaign_id
"""
_FINISHED = """
    UPDATE campaigns k SET state = 'finished'
    WHERE k.state = 'running' AND k.wave = k.waves
      AND NOT EXISTS (SELECT FROM commands c WHERE c.campaign_id = k.campaign_id
                      AND c.state IN ('awaiting_approval', 'queued', 'handed_over'))
      AND NOT EXISTS (SELECT FROM campaign_meters m WHERE m.campaign_id = k.campaign_id AND NOT EXISTS (
          SELECT FROM commands c WHERE c.campaign_id = m.campaign_id AND c.meter_id = m.meter_id))
"""
"""Every wave went out and every meter's command has ended."""

_WAITING = """
    SELECT command_id, device FROM commands JOIN devices USING (device_id) JOIN campaigns USING (campaign_id)
    WHERE campaigns.state = 'stopped' AND commands.state IN ('awaiting_approval', 'queued') LIMIT $1
"""
_log = structlog.get_logger()


async def stop_failing(connection: Any, now: datetime) -> int:
    """End campaigns that are through, stop those that fail and call back what their meters were not told yet; how many
    commands that were."""
    async with connection.transaction():
        for row in await connection.fetch(_FAILING):
            _log.error("a campaign was stopped: too many failures", campaign_id=row["campaign_id"])
        await connection.execute(_FINISHED)
        rows = await connection.fetch(_WAITING, MAX_CALLED_BACK)
        said = [
            Said(row["command_id"], row["device"], CommandState.CANCELLED, now, "platform", "the campaign was stopped")
            for row in rows
        ]
        if said:
            await write_down(connection, said)
    return len(rows)
