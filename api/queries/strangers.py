"""Unknown devices that knocked, and what an engineer decides: it is one of ours, or it is to be left out of the list.

What a device calls itself is whatever it sent; the gateways and ingest have cleaned and cut it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import asyncpg

from api.audit import audit
from api.database import ReadPool, WritePool
from api.queries.meters import like_pattern
from api.queries.paging import Page, check_limit, decode_cursor, page
from api.queries.pushers import bind_device
from metering.errors import ConflictError, NotFoundError
from metering.model import Door
from metering.pushers import BINDING_LOCK, product_of

PUSH_DOORS = frozenset({Door.CTWING, Door.IOTDA})


@dataclass(frozen=True, slots=True)
class StrangerRow:
    """`source`: the address it last came from. `reason`: the short stable word of the refusal."""

    name: str
    door: str
    source: str
    reason: str
    knocks: int
    first_at: datetime
    last_at: datetime
    dismissed_at: datetime | None
    dismissed_by: str | None


_LIST = """
SELECT name, door, source, reason, knocks, first_at, last_at, dismissed_at, dismissed_by FROM strangers
WHERE (dismissed_at IS NOT NULL) = $1 AND ($2::text IS NULL OR name ILIKE $2 OR source ILIKE $2)
    AND ($3::timestamptz IS NULL OR (last_at, name) < ($3, $4::text))
ORDER BY last_at DESC, name DESC LIMIT $5
"""

_DISMISS = """
UPDATE strangers SET dismissed_at = now(), dismissed_by = $2 WHERE name = $1 AND dismissed_at IS NULL RETURNING name
"""


async def list_strangers(
    pool: ReadPool, *, dismissed: bool = False, search: str | None = None, limit: int = 50, cursor: str | None = None
) -> Page[StrangerRow]:
    """Who knocked last comes first. `search`: part of name or address."""
    before, last = decode_cursor(cursor, datetime, str) if cursor else (None, "")
    rows = await pool.fetch(StrangerRow, _LIST, dismissed, like_pattern(search), before, last, check_limit(limit) + 1)
    return page(rows, limit, lambda row: [row.last_at, row.name])


async def approve_stranger(
    pool: WritePool, name: str, serial: str, plain: bool, *, actor: str, source: str = ""
) -> str:
    """It is the device of the meter with this serial, which is made when there is none; its canonical name. `plain`: it
    may speak without a key from `source`, the address it knocked from, and from nowhere else.

    Who was pushed is bound to its product, when `source` names that.

    Raises NotFoundError; ConflictError when it contradicts what is known, with the reason. Anybody may knock under this
    name from anywhere: an address that the person has not seen is not let in.
    """
    async with pool.transaction() as connection:
        stranger = await connection.fetchrow("SELECT door, source FROM strangers WHERE name = $1 FOR UPDATE", name)
        if stranger is None:
            raise NotFoundError("nobody of this name knocks")
        if plain and stranger["source"] != source:
            raise ConflictError(f"it knocks from {stranger['source']} by now: look again, and name that address")
        pusher = _pusher_of(stranger["door"], stranger["source"], source)
        if pusher:  # before the device's row is locked, as ingest does
            await connection.execute("SELECT pg_advisory_xact_lock($1)", BINDING_LOCK)
        try:
            device: str = await connection.fetchval("SELECT enrol_stranger($1, $2, $3)", name, serial.strip(), plain)
        except asyncpg.RaiseError as error:
            raise ConflictError(str(error)) from error
        except asyncpg.UniqueViolationError as error:
            raise ConflictError("the registry has this device or meter already") from error
        if pusher:
            device_id = await connection.fetchval("SELECT device_id FROM devices WHERE device = $1", device)
            await bind_device(connection, device_id, device, pusher, beside=False, actor=actor)
        detail = {
            "name": name,
            "serial": serial.strip(),
            "pusher": pusher,
            "plain_from": stranger["source"] if plain else "",
        }
        await audit(connection, actor, "stranger.approve", device, detail | {"door": stranger["door"]})
    return device


def _pusher_of(door: str, source: str, seen: str) -> str:
    """The product that pushed it, where that is the one the person has seen; it may push from several addresses."""
    product = product_of(source)
    return product if door in PUSH_DOORS and " " in source and product == product_of(seen) else ""


async def dismiss_stranger(pool: WritePool, name: str, *, actor: str) -> None:
    """It is left out of the list, however often it knocks. Raises NotFoundError."""
    async with pool.transaction() as connection:
        if await connection.fetchval(_DISMISS, name, actor) is None:
            raise NotFoundError("nobody of this name waits")
        await audit(connection, actor, "stranger.dismiss", name, {})
