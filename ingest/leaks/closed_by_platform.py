"""Alerts that the platform itself closes, because they should not stand: `reason` of the event is a word of `Reason`.

An alert that somebody has acknowledged stays with that person; it has only ended.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from .events import Kind

CONTINUOUS_FLOW = "continuous_flow"
CUSTOMERS_KINDS = [CONTINUOUS_FLOW, Kind.LEAK.value, Kind.BURST.value]
"""Faults behind a customer's meter."""


class Reason(StrEnum):
    LEAK = "leak"
    """Our own detector found the leak of which the makers' rule had seen the flow: one leak is one alert."""
    BULK_METER = "bulk_meter"
    """The meter was entered as a district's: there is no customer behind it."""
    OUTAGE = "outage"
    """A silent meter is one of many: they are one event."""


_TAKE_OVER = """
WITH closed AS (
    UPDATE alerts old
    SET ended_at = COALESCE(old.ended_at, GREATEST(leak.raised_at, old.last_seen_at)),
        state = CASE old.state WHEN 'open' THEN 'resolved' ELSE old.state END,
        closed_at = CASE old.state WHEN 'open' THEN GREATEST(leak.raised_at, old.last_seen_at) END
    FROM alerts leak
    WHERE old.meter_id = ANY((SELECT $1::bigint[])::bigint[]) AND old.kind = $3
      AND (old.state = 'open' OR (old.state = 'acknowledged' AND old.ended_at IS NULL))
      AND leak.meter_id = old.meter_id AND leak.kind = $4 AND leak.state IN ('open', 'acknowledged')
      AND leak.ended_at IS NULL AND leak.started_at < COALESCE(old.ended_at, 'infinity')
    RETURNING old.alert_id, old.state, old.closed_at
)"""
_CLOSE = """
WITH closed AS (
    UPDATE alerts
    SET ended_at = COALESCE(ended_at, last_seen_at), closed_at = COALESCE(ended_at, last_seen_at), state = 'resolved',
        certainty = CASE WHEN certainty IS NOT NULL THEN 'cleared' END
    WHERE meter_id = ANY((SELECT $1::bigint[])::bigint[]) AND kind = ANY($3) AND state = 'open'
    RETURNING alert_id, state, closed_at
)"""
_NOTE = """
INSERT INTO alert_events (alert_id, at, from_state, to_state, actor, reason)
SELECT alert_id, closed_at, 'open', state, 'platform', $2::text FROM closed WHERE state = 'resolved'"""


async def take_over(connection: Any, meter_ids: list[int]) -> None:
    """Ends the makers' alerts of those meters whose leak is raised and lasts. Joins the caller's transaction."""
    await connection.execute(_TAKE_OVER + _NOTE, meter_ids, Reason.LEAK, CONTINUOUS_FLOW, Kind.LEAK.value)


async def close_of_bulk_meters(connection: Any, meter_ids: list[int]) -> None:
    """What was raised of them before they were entered as a district's. Joins the caller's transaction."""
    await connection.execute(_CLOSE + _NOTE, meter_ids, Reason.BULK_METER, CUSTOMERS_KINDS)
