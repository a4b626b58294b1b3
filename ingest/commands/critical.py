"""Takes back commands that could cut off a critical customer: a hospital, a fire main, a vulnerable household.

The API refuses to file or approve them (api/command_rules.py), but the flag may be set afterwards, by an import or by
hand. So the publisher calls this before it tells the gateways what waits for a device, and a change of the flag makes
it look (migration 0007).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from ingest.commands.ledger import write_down
from ingest.commands.life import Said
from metering.commands import CommandState

REASON = "the customer became critical: the valve is not closed"
TOLD_REASON = f"{REASON}; the meter had been told already"

_FORBIDDEN = """
    SELECT command_id, device, state FROM commands c JOIN devices d USING (device_id)
    WHERE c.device_id = ANY($1::bigint[]) AND state IN ('awaiting_approval', 'queued', 'handed_over')
        AND (kind = 100 OR kind = 2 AND arguments ->> '0' IS DISTINCT FROM '0')
        AND EXISTS (
            SELECT FROM installations i JOIN service_points p USING (service_point_id)
            WHERE (i.device_id = c.device_id OR i.meter_id = c.meter_id) AND i.valid_to IS NULL AND p.critical
        )
    ORDER BY command_id
"""
"""Every valve command that is not plainly an opening, and raw frames, which may close one."""


async def take_back(connection: Any, device_ids: Sequence[int], now: datetime) -> int:
    """Cancel them, with an event each; how many there were. At most metering.command_feed.MAX_WAITING_PER_DEVICE for
    each device are open."""
    async with connection.transaction():
        rows = await connection.fetch(_FORBIDDEN, device_ids)
        said = [
            Said(row["command_id"], row["device"], CommandState.CANCELLED, now, "platform", _reason(row["state"]))
            for row in rows
        ]
        if said:
            await write_down(connection, said)
    return len(said)


def _reason(state: str) -> str:
    return TOLD_REASON if state == CommandState.HANDED_OVER else REASON
