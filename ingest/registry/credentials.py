"""Device keys in the database: found by their devices, stored sealed, replaced and revoked, set by set.

Everything here runs in the caller's transaction on a connection of the owner, after `lock`, which the api takes too:
all of a set is done or nothing. Only `seal_all` and `reseal` are given master keys, and nothing returns a secret.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any, NamedTuple

from metering.credentials import CHANGE_LOCK, Credential, CredentialKind, MasterKeys
from metering.errors import CredentialError, ImportRowsError
from metering.new_keys import PlainKey

SLICE_ROWS = 20_000
"""Rows handed to the database in one statement."""

_RESOLVE = """
SELECT n.line, n.name, d.device_id, d.device, COALESCE(d.imei, '') AS imei, COALESCE(m.serial, '') AS serial
FROM unnest($1::int[], $2::text[]) AS n (line, name)
LEFT JOIN LATERAL (
    SELECT device_id FROM (
        SELECT i.device_id, 0 AS rank FROM meters m JOIN installations i ON i.meter_id = m.meter_id
        WHERE m.serial = n.name AND i.valid_to IS NULL
        UNION ALL SELECT device_id, 1 FROM devices WHERE device = n.name
        UNION ALL SELECT device_id, 2 FROM devices WHERE imei = n.name
    ) AS named ORDER BY rank LIMIT 1
) AS found ON true
LEFT JOIN devices d ON d.device_id = found.device_id
LEFT JOIN installations i ON i.device_id = d.device_id AND i.valid_to IS NULL
LEFT JOIN meters m ON m.meter_id = i.meter_id
ORDER BY n.line
"""

_WITHOUT = """
SELECT 0 AS line, d.device AS name, d.device_id, d.device, COALESCE(d.imei, '') AS imei,
    COALESCE(m.serial, '') AS serial
FROM devices d
LEFT JOIN installations i ON i.device_id = d.device_id AND i.valid_to IS NULL
LEFT JOIN meters m ON m.meter_id = i.meter_id
WHERE d.enabled AND NOT EXISTS (
    SELECT FROM credentials c WHERE c.device_id = d.device_id AND c.kind = $1 AND c.revoked_at IS NULL
)
ORDER BY m.serial, d.device
"""

_HELD = """
SELECT device_id, array_agg(key_id ORDER BY credential_id) AS ids,
    max(credential_id) FILTER (WHERE revoked_at IS NULL) AS newest
FROM credentials WHERE kind = $1 AND device_id = ANY($2::bigint[]) GROUP BY device_id
"""

_STORE = """
INSERT INTO credentials (device_id, kind, key_id, sealed, created_by, replaces_id)
SELECT u.device_id, u.kind, u.key_id, u.sealed, $6, u.replaces_id
FROM unnest($1::bigint[], $2::smallint[], $3::bytea[], $4::bytea[], $5::bigint[])
    AS u (device_id, kind, key_id, sealed, replaces_id)
ON CONFLICT (kind, key_id) WHERE revoked_at IS NULL DO NOTHING
RETURNING device_id, kind, key_id
"""

_PHASE_OUT = """
UPDATE credentials SET expires_at = LEAST(expires_at, now() + $3::interval)
WHERE kind = $1 AND device_id = ANY($2::bigint[]) AND revoked_at IS NULL
"""

_REVOKE = """
UPDATE credentials SET revoked_at = now(), revoked_why = $3
WHERE device_id = ANY($1::bigint[]) AND ($2::smallint IS NULL OR kind = $2) AND revoked_at IS NULL
"""

_SEALS = """
SELECT credential_id, kind, key_id, sealed FROM credentials
WHERE credential_id > $1 AND get_byte(sealed, 0) <> $2 ORDER BY credential_id LIMIT $3
"""

_RESEAL = """
UPDATE credentials c SET sealed = u.sealed FROM unnest($1::bigint[], $2::bytea[]) AS u (credential_id, sealed)
WHERE c.credential_id = u.credential_id
"""


class KeyHolder(NamedTuple):
    """A device that is given a key. `line`: of the file that named it, else 0. Empty: there is none."""

    line: int
    name: str
    device_id: int
    device: str
    imei: str
    serial: str


class Held(NamedTuple):
    """What a device had before, of one kind: all ids ever, and its newest valid key, if it has one."""

    ids: tuple[bytes, ...] = ()
    newest: int | None = None


class NewCredential(NamedTuple):
    """`replaces`: the key it takes over from, beside which it is valid until that ends."""

    holder: KeyHolder
    credential: Credential
    replaces: int | None = None


async def lock(connection: Any) -> None:
    await connection.execute("SELECT pg_advisory_xact_lock($1)", CHANGE_LOCK)


async def holders_of(connection: Any, names: Sequence[tuple[int, str]]) -> list[KeyHolder]:
    """The devices of these lines and names (serial, canonical name or IMEI). Raises ImportRowsError that lists those
    that are nobody's, and those that name a device twice."""
    found: list[KeyHolder] = []
    errors: list[tuple[int, str, str]] = []
    for part in slices(names):
        for row in await connection.fetch(_RESOLVE, [line for line, _ in part], [name for _, name in part]):
            if row["device_id"] is None:
                errors.append((row["line"], "", f"no device or meter is called {row['name']}"))
            else:
                found.append(KeyHolder(*row))
    first: dict[int, KeyHolder] = {}
    errors += [
        (holder.line, "", f"{holder.name} is the device of line {first[holder.device_id].line}")
        for holder in found
        if first.setdefault(holder.device_id, holder) is not holder
    ]
    if errors:
        raise ImportRowsError(sorted(errors))
    return found


async def holders_without(connection: Any, kind: CredentialKind) -> list[KeyHolder]:
    """All devices that are in use and have no valid key of this kind."""
    return [KeyHolder(*row) for row in await connection.fetch(_WITHOUT, int(kind))]


async def held(connection: Any, kind: CredentialKind, holders: Sequence[KeyHolder]) -> dict[int, Held]:
    """By device id, for those that ever had a key of this kind."""
    found: dict[int, Held] = {}
    for part in slices(holders):
        for row in await connection.fetch(_HELD, int(kind), [holder.device_id for holder in part]):
            found[row["device_id"]] = Held(tuple(row["ids"]), row["newest"])
    return found


async def store(connection: Any, new: Sequence[NewCredential], actor: str) -> list[NewCredential]:
    """Those that found no place, because their id is another valid key's."""
    refused: list[NewCredential] = []
    for part in slices(new):
        taken = await connection.fetch(
            _STORE,
            [each.holder.device_id for each in part],
            [int(each.credential.kind) for each in part],
            [each.credential.key_id for each in part],
            [each.credential.sealed for each in part],
            [each.replaces for each in part],
            actor,
        )
        stored = {tuple(row) for row in taken}
        refused += [each for each in part if (each.holder.device_id, *each.credential[:2]) not in stored]
    return refused


async def phase_out(connection: Any, kind: CredentialKind, holders: Sequence[KeyHolder], overlap: timedelta) -> None:
    """The valid keys of these devices end after `overlap`, or when a newer one is used."""
    for part in slices(holders):
        await connection.execute(_PHASE_OUT, int(kind), [holder.device_id for holder in part], overlap)


async def revoke(connection: Any, holders: Sequence[KeyHolder], kind: CredentialKind | None, reason: str) -> int:
    """End the valid keys of these devices, of one kind or all, now; how many there were."""
    count = 0
    for part in slices(holders):
        ids = [holder.device_id for holder in part]
        done = await connection.execute(_REVOKE, ids, None if kind is None else int(kind), reason)
        count += int(done.rpartition(" ")[2])
    return count


async def reseal(connection: Any, keys: MasterKeys) -> tuple[int, int]:
    """Seal with the newest master key what another sealed: how many were, and how many no master key opens."""
    done = failed = after = 0
    while rows := await connection.fetch(_SEALS, after, keys.newest, SLICE_ROWS):
        after = rows[-1]["credential_id"]
        ids, seals = [], []
        for row in rows:
            credential = Credential(CredentialKind(row["kind"]), row["key_id"], row["sealed"])
            try:
                secret = keys.open(credential)
            except CredentialError:
                failed += 1
                continue
            ids.append(row["credential_id"])
            seals.append(keys.seal(credential.kind, credential.key_id, secret).sealed)
        await connection.execute(_RESEAL, ids, seals)
        done += len(ids)
    return done, failed


def seal_all(
    keys: MasterKeys, made: Iterable[tuple[KeyHolder, PlainKey]], before: dict[int, Held]
) -> list[NewCredential]:
    """Each key sealed for its device, as the successor of the key that the device has."""
    return [NewCredential(holder, key.seal(keys), before.get(holder.device_id, Held()).newest) for holder, key in made]


def slices(rows: Sequence[Any]) -> Iterable[Sequence[Any]]:
    for start in range(0, len(rows), SLICE_ROWS):
        yield rows[start : start + SLICE_ROWS]
