"""Which push products may speak for the devices of meters, as people see it and change it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from api.audit import audit
from api.database import ReadPool, WritePool
from api.queries.installed import NAMED, ON_METER, device_on
from api.reasons import ending_reason
from metering.errors import ConflictError, NotFoundError, RequestError
from metering.pushers import BINDING_LOCK, MAX_PUSHERS, PRODUCT_NAME

MAX_BINDINGS = 200
"""Of one device that are shown: the newest."""


@dataclass(frozen=True, slots=True)
class BindingRow:
    """`ended_at`: the product may not speak for the device any more."""

    binding_id: int
    device: str
    product: str
    bound_at: datetime
    bound_by: str
    ended_at: datetime | None
    ended_by: str | None
    ended_why: str | None


_SELECT = """
SELECT b.binding_id, d.device, b.product, b.bound_at, b.bound_by, b.ended_at, b.ended_by, b.ended_why
FROM pusher_bindings b JOIN devices d ON d.device_id = b.device_id
"""

_OF_METER = _SELECT + ON_METER + "ORDER BY b.binding_id DESC LIMIT $2"

_FIND = (
    _SELECT
    + f"WHERE ($1 = '' OR b.device_id IN ({NAMED}))"
    + """
    AND ($2 = '' OR b.product = $2) AND (NOT $3 OR b.ended_at IS NULL)
ORDER BY b.binding_id DESC LIMIT $4
"""
)

_END_OTHERS = """
UPDATE pusher_bindings SET ended_at = now(), ended_by = $3, ended_why = 'moved'
WHERE device_id = $1 AND product <> $2 AND ended_at IS NULL RETURNING product
"""

_BIND = """
INSERT INTO pusher_bindings (device_id, product, bound_by) VALUES ($1, $2, $3)
ON CONFLICT (device_id, product) WHERE ended_at IS NULL DO NOTHING RETURNING binding_id
"""

_BOUND = "SELECT binding_id FROM pusher_bindings WHERE device_id = $1 AND product = $2 AND ended_at IS NULL"

_COUNT = "SELECT count(*) FROM pusher_bindings WHERE device_id = $1 AND ended_at IS NULL"

_END = """
UPDATE pusher_bindings b SET ended_at = now(), ended_by = $2, ended_why = $3
FROM devices d WHERE b.binding_id = $1 AND b.ended_at IS NULL AND d.device_id = b.device_id
RETURNING d.device, b.product
"""


async def bindings_of_meter(pool: ReadPool, serial: str) -> list[BindingRow]:
    """Those of the device that is on the meter now, newest first, MAX_BINDINGS at most."""
    return await pool.fetch(BindingRow, _OF_METER, serial, MAX_BINDINGS)


async def find_bindings(
    pool: ReadPool, device: str, product: str, *, open_only: bool, limit: int
) -> list[BindingRow]:  # fmt: skip
    """Newest first. `device`: name, IMEI or the serial of its meter; empty: of all, as is `product`."""
    return await pool.fetch(BindingRow, _FIND, device, product, open_only, limit)


async def bind_meter(pool: WritePool, serial: str, product: str, *, beside: bool, actor: str) -> int:
    """The product may speak for the device that is on the meter now, others only `beside` it; the binding's number.

    Raises NotFoundError; ConflictError when the product may already, or too many may; RequestError.
    """
    async with pool.transaction() as connection:
        device = await device_on(connection, serial)
        made = await bind_device(connection, device["device_id"], device["device"], product, beside=beside, actor=actor)
        if made is None:
            raise ConflictError(f"{product} may speak for the device already")
        return made


async def bind_device(
    connection: Any, device_id: int, device: str, product: str, *, beside: bool, actor: str
) -> int | None:  # fmt: skip
    """As `bind_meter`, in the caller's transaction; None: it was bound to it, and to no other, before."""
    if not re.fullmatch(PRODUCT_NAME, product):
        raise RequestError("that is no name of a push product")
    await connection.execute("SELECT pg_advisory_xact_lock($1)", BINDING_LOCK)
    others = [] if beside else await connection.fetch(_END_OTHERS, device_id, product, actor)
    made: int | None = await connection.fetchval(_BIND, device_id, product, actor)
    if made is None and others:
        made = await connection.fetchval(_BOUND, device_id, product)
    if made is None:
        return None
    if await connection.fetchval(_COUNT, device_id) > MAX_PUSHERS:
        raise ConflictError(f"{MAX_PUSHERS} products may speak for the device already")
    await audit(
        connection,
        actor,
        "pushers.bind",
        device,
        {"product": product, "beside_others": beside, "ended": [row["product"] for row in others]},
    )
    return made


async def end_binding(pool: WritePool, binding_id: int, reason: str, *, actor: str) -> None:
    """The product may not speak for the device any more. Raises NotFoundError when it may not, RequestError without a
    reason."""
    text = ending_reason(reason)
    async with pool.transaction() as connection:
        ended = await connection.fetchrow(_END, binding_id, actor, text)
        if ended is None:
            raise NotFoundError(f"there is no binding {binding_id} that has not ended")
        detail = {"product": ended["product"], "binding": binding_id, "reason": text}
        await audit(connection, actor, "pushers.unbind", ended["device"], detail)
