"""One leak is one alert: what the makers' rule raised of a meter is closed when our own detector finds the leak.

An alert that somebody has acknowledged stays with that person; it has only ended.
"""

from __future__ import annotations

from typing import Any

from .events import Kind
from .stage import CONTINUOUS_FLOW

_TAKE_OVER = """
WITH taken AS (
    UPDATE alerts old
    SET ended_at = COALESCE(old.ended_at, GREATEST(leak.raised_at, old.last_seen_at)),
        state = CASE old.state WHEN 'open' THEN 'resolved' ELSE old.state END,
        closed_at = CASE old.state WHEN 'open' THEN GREATEST(leak.raised_at, old.last_seen_at) END
    FROM alerts leak
    WHERE old.meter_id = ANY((SELECT $1::bigint[])::bigint[]) AND old.kind = $2
      AND (old.state = 'open' OR (old.state = 'acknowledged' AND old.ended_at IS NULL))
      AND leak.meter_id = old.meter_id AND leak.kind = $3 AND leak.state IN ('open', 'acknowledged')
      AND leak.ended_at IS NULL AND leak.started_at < COALESCE(old.ended_at, 'infinity')
    RETURNING old.alert_id, old.state, old.closed_at
)
INSERT INTO alert_events (alert_id, at, from_state, to_state, actor)
SELECT alert_id, closed_at, 'open', state, 'platform' FROM taken WHERE state = 'resolved'"""


async def take_over(connection: Any, meter_ids: list[int]) -> None:
    """Ends the makers' alerts of those meters whose leak is raised and lasts. Joins the caller's transaction."""
    await connection.execute(_TAKE_OVER, meter_ids, CONTINUOUS_FLOW, Kind.LEAK.value)
