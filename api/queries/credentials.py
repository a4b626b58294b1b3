"""Keys of devices as people see them, never their secrets: those of a meter, and what an engineer does about them.

The api may store a sealed key and may not read one again. A secret is returned by `create_key` and `rotate_key`, once.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import asyncpg

from api.audit import audit
from api.database import ReadPool, WritePool
from api.queries.installed import NAMED, ON_METER, device_on
from api.reasons import ending_reason
from metering.credentials import CHANGE_LOCK, CredentialKind, MasterKeys
from metering.errors import ConflictError, NotFoundError, RequestError
from metering.new_keys import PlainKey, new_key, shown_key_id

MAX_KEYS = 200
"""Of one device that are shown: the newest."""

MAX_ATTEMPTS = 8
"""Of finding a Sender ID that nobody has."""


@dataclass(frozen=True, slots=True)
class CredentialRow:
    """`key_id`: OSCORE's Sender ID in hexadecimal, the others as text. `expires_at`: it ends then, or when the key that
    replaces it is used. `revoked_at`: it has ended."""

    credential_id: int
    device: str
    kind: str
    key_id: str
    created_at: datetime
    created_by: str
    replaces_id: int | None
    expires_at: datetime | None
    revoked_at: datetime | None
    revoked_why: str | None

    def __post_init__(self) -> None:
        if isinstance(self.kind, int):  # as the database holds them
            kind = CredentialKind(self.kind)
            object.__setattr__(self, "kind", kind.name.lower())
            object.__setattr__(self, "key_id", shown_key_id(kind, self.key_id))


_SELECT = """
SELECT c.credential_id, d.device, c.kind, c.key_id, c.created_at, c.created_by, c.replaces_id, c.expires_at,
    c.revoked_at, c.revoked_why
FROM credentials c JOIN devices d ON d.device_id = c.device_id
"""

_OF_METER = _SELECT + ON_METER + "ORDER BY c.credential_id DESC LIMIT $2"

_FIND = (
    _SELECT
    + f"WHERE ($1 = '' OR c.device_id IN ({NAMED}))"
    + """
    AND ($2::smallint IS NULL OR c.kind = $2) AND (NOT $3 OR c.revoked_at IS NULL)
ORDER BY c.credential_id DESC LIMIT $4
"""
)

_HELD = """
SELECT COALESCE(array_agg(key_id), '{}') AS ids, max(credential_id) FILTER (WHERE revoked_at IS NULL) AS newest
FROM credentials WHERE device_id = $1 AND kind = $2
"""

_STORE = """
INSERT INTO credentials (device_id, kind, key_id, sealed, created_by, replaces_id) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (kind, key_id) WHERE revoked_at IS NULL DO NOTHING RETURNING credential_id
"""

_ONE = """
SELECT c.credential_id, c.device_id, d.device, c.kind, c.key_id, c.revoked_at
FROM credentials c JOIN devices d ON d.device_id = c.device_id WHERE c.credential_id = $1
"""

_PHASE_OUT = """
UPDATE credentials SET expires_at = LEAST(expires_at, now() + $3::interval)
WHERE device_id = $1 AND kind = $2 AND revoked_at IS NULL
"""

_REVOKE = """
UPDATE credentials SET revoked_at = now(), revoked_why = $2 WHERE credential_id = $1 AND revoked_at IS NULL
RETURNING credential_id
"""


async def keys_of_meter(pool: ReadPool, serial: str) -> list[CredentialRow]:
    """Those of the device that is on the meter now, newest first, MAX_KEYS at most."""
    return await pool.fetch(CredentialRow, _OF_METER, serial, MAX_KEYS)


async def find_credentials(
    pool: ReadPool, device: str, kind: CredentialKind | None, *, valid_only: bool, limit: int
) -> list[CredentialRow]:
    """Newest first. `device`: name, IMEI or the serial of its meter; empty: of all."""
    return await pool.fetch(CredentialRow, _FIND, device, None if kind is None else int(kind), valid_only, limit)


async def create_key(
    pool: WritePool, keys: MasterKeys | None, serial: str, kind: CredentialKind, *, actor: str
) -> tuple[int, PlainKey]:
    """A new key for the device that is on the meter now, and its id in the database.

    Raises NotFoundError, ConflictError when it has a valid one of this kind, RequestError when there is no master key.
    """
    master = _needed(keys)
    async with pool.transaction() as connection:
        device = await device_on(connection, serial)
        await connection.execute("SELECT pg_advisory_xact_lock($1)", CHANGE_LOCK)
        found = await connection.fetchrow(_HELD, device["device_id"], int(kind))
        if found["newest"] is not None:
            raise ConflictError(f"the device has a valid key of this kind, number {found['newest']}: rotate it")
        made = await _store(connection, master, device, kind, found["ids"], None, actor)
        await audit(connection, actor, "key.create", device["device"], _described(*made))
    return made


async def rotate_key(
    pool: WritePool, keys: MasterKeys | None, credential_id: int, overlap: timedelta, *, actor: str
) -> tuple[int, PlainKey]:
    """The key that takes over from this one, which stays valid for `overlap` or until the new one is used.

    Raises as `create_key`; ConflictError when this one has ended or a newer one replaces it already.
    """
    master = _needed(keys)
    async with pool.transaction() as connection:
        await connection.execute("SELECT pg_advisory_xact_lock($1)", CHANGE_LOCK)
        old = await _existing(connection, credential_id)
        kind = CredentialKind(old["kind"])
        found = await connection.fetchrow(_HELD, old["device_id"], int(kind))
        if found["newest"] != credential_id:
            raise ConflictError("this key has ended, or a newer one replaces it already")
        await connection.execute(_PHASE_OUT, old["device_id"], int(kind), overlap)
        made = await _store(connection, master, old, kind, found["ids"], credential_id, actor)
        detail = _described(*made) | {"replaces": credential_id, "overlap_s": overlap.total_seconds()}
        await audit(connection, actor, "key.rotate", old["device"], detail)
    return made


async def revoke_key(pool: WritePool, credential_id: int, reason: str, *, actor: str) -> None:
    """End it now. Raises NotFoundError, ConflictError when it has ended already, RequestError without a reason."""
    text = ending_reason(reason)
    async with pool.transaction() as connection:
        key = await _existing(connection, credential_id)
        if await connection.fetchval(_REVOKE, credential_id, text) is None:
            raise ConflictError("this key has ended already")
        kind = CredentialKind(key["kind"])
        detail = {
            "credential": credential_id,
            "kind": kind.name.lower(),
            "key_id": shown_key_id(kind, key["key_id"]),
            "reason": text,
        }
        await audit(connection, actor, "key.revoke", key["device"], detail)


async def _existing(connection: Any, credential_id: int) -> asyncpg.Record:
    found = await connection.fetchrow(_ONE, credential_id)
    if found is None:
        raise NotFoundError(f"there is no key {credential_id}")
    return found


async def _store(
    connection: Any,
    keys: MasterKeys,
    device: asyncpg.Record,
    kind: CredentialKind,
    ids: list[bytes],
    replaces: int | None,
    actor: str,
) -> tuple[int, PlainKey]:
    for _ in range(MAX_ATTEMPTS):
        made = new_key(kind, device["device"], taken=ids)
        sealed = made.seal(keys).sealed
        stored = await connection.fetchval(_STORE, device["device_id"], int(kind), made.key_id, sealed, actor, replaces)
        if stored is not None:
            return stored, made
    raise ConflictError(f"another device has a key with the id {made.shown_id}")


def _needed(keys: MasterKeys | None) -> MasterKeys:
    if keys is None:
        raise RequestError("the api has no master key: set NBWATER_KEYS_MASTER_FILE")
    return keys


def _described(credential_id: int, key: PlainKey) -> dict[str, Any]:
    """For the audit log: what names the key, and nothing of its secret."""
    return {"credential": credential_id, "kind": key.kind.name.lower(), "key_id": key.shown_id}
