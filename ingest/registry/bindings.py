"""Which push products may speak for which devices, set by set (docs/decisions/0025-pushers.md).

Everything here runs in the caller's transaction on a connection of the owner, after `lock`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ingest.registry.credentials import KeyHolder, slices
from metering.errors import ImportRowsError
from metering.pushers import BINDING_LOCK, MAX_PUSHERS

_END_OTHERS = """
UPDATE pusher_bindings SET ended_at = now(), ended_by = $3, ended_why = 'moved'
WHERE device_id = ANY($1::bigint[]) AND product <> $2 AND ended_at IS NULL
"""

_BIND = """
INSERT INTO pusher_bindings (device_id, product, bound_by)
SELECT device_id, $2, $3 FROM unnest($1::bigint[]) AS new (device_id)
ON CONFLICT (device_id, product) WHERE ended_at IS NULL DO NOTHING
"""

_TOO_MANY = """
SELECT device_id FROM pusher_bindings WHERE device_id = ANY($1::bigint[]) AND ended_at IS NULL
GROUP BY device_id HAVING count(*) > $2
"""

_END = """
UPDATE pusher_bindings SET ended_at = now(), ended_by = $3, ended_why = $4
WHERE device_id = ANY($1::bigint[]) AND ($2::text IS NULL OR product = $2) AND ended_at IS NULL
"""

_OF_PRODUCT = """
SELECT 0 AS line, d.device AS name, d.device_id, d.device, COALESCE(d.imei, '') AS imei,
    COALESCE(m.serial, '') AS serial
FROM pusher_bindings b
JOIN devices d USING (device_id)
LEFT JOIN installations i ON i.device_id = d.device_id AND i.valid_to IS NULL
LEFT JOIN meters m ON m.meter_id = i.meter_id
WHERE b.product = $1 AND b.ended_at IS NULL
ORDER BY d.device
"""


async def lock(connection: Any) -> None:
    await connection.execute("SELECT pg_advisory_xact_lock($1)", BINDING_LOCK)


async def holders_of_product(connection: Any, product: str) -> list[KeyHolder]:
    """The devices that are bound to it now."""
    return [KeyHolder(*row) for row in await connection.fetch(_OF_PRODUCT, product)]


async def bind(connection: Any, holders: Sequence[KeyHolder], product: str, actor: str, *, beside: bool) -> int:
    """The product may speak for these devices: it alone, or `beside` those that may already; for how many that is new.

    Raises ImportRowsError where more than MAX_PUSHERS could.
    """
    count = 0
    for part in slices(holders):
        ids = [holder.device_id for holder in part]
        if not beside:
            await connection.execute(_END_OTHERS, ids, product, actor)
        done = await connection.execute(_BIND, ids, product, actor)
        count += int(done.rpartition(" ")[2])
        crowded = {row["device_id"] for row in await connection.fetch(_TOO_MANY, ids, MAX_PUSHERS)}
        if crowded:
            raise ImportRowsError(
                [
                    (holder.line, "", f"{holder.name} is bound to {MAX_PUSHERS} products already")
                    for holder in part
                    if holder.device_id in crowded
                ]
            )
    return count


async def end(connection: Any, holders: Sequence[KeyHolder], product: str | None, actor: str, why: str) -> int:
    """One product, or none whatever, may speak for these devices any more; how many bindings ended."""
    count = 0
    for part in slices(holders):
        done = await connection.execute(_END, [holder.device_id for holder in part], product, actor, why)
        count += int(done.rpartition(" ")[2])
    return count
