"""Registry entries as the database knows them now. A key is good until it is revoked, also by time: `ending_keys`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

import asyncpg

from metering.credentials import Credential, CredentialKind
from metering.registry import ENABLED, HAS_KEY, WAS_PUSHED, RegistryEntry

READ_ROWS = 10_000
"""Rows of a whole registry held in memory at a time."""

_COLUMNS = """
    d.device, d.imei, m.serial, d.plain_sources::text[] AS plain_sources, d.enabled, d.has_key,
    btrim(concat_ws(' ', m.maker, m.model)) AS model, keys.kinds, keys.ids, keys.seals, keys.ever,
    pushed.products, pushed.ever AS was_pushed
    FROM devices d
    LEFT JOIN installations i ON i.device_id = d.device_id AND i.valid_to IS NULL
    LEFT JOIN meters m ON m.meter_id = i.meter_id
    LEFT JOIN LATERAL (
        SELECT array_agg(kind ORDER BY credential_id) FILTER (WHERE revoked_at IS NULL) AS kinds,
               array_agg(key_id ORDER BY credential_id) FILTER (WHERE revoked_at IS NULL) AS ids,
               array_agg(sealed ORDER BY credential_id) FILTER (WHERE revoked_at IS NULL) AS seals,
               count(*) > 0 AS ever
        FROM credentials
        WHERE credentials.device_id = d.device_id
    ) AS keys ON true
    LEFT JOIN LATERAL (
        SELECT array_agg(product ORDER BY binding_id) FILTER (WHERE ended_at IS NULL) AS products, count(*) > 0 AS ever
        FROM pusher_bindings WHERE device_id = d.device_id
    ) AS pushed ON true
"""


async def entries_of(connection: asyncpg.Connection, devices: Sequence[str]) -> list[RegistryEntry]:
    """The whole current self of each named device, in that order; one that is gone has no flags."""
    rows = await connection.fetch(f"SELECT {_COLUMNS} WHERE d.device = ANY($1::text[])", devices)
    found = {row["device"]: _entry(row) for row in rows}
    return [found.get(device) or RegistryEntry(device, (device,), (), 0) for device in devices]


async def every_entry(connection: asyncpg.Connection) -> AsyncIterator[list[RegistryEntry]]:
    """The whole registry in portions. Needs a transaction."""
    cursor = await connection.cursor(f"SELECT {_COLUMNS}")
    while rows := await cursor.fetch(READ_ROWS):
        yield [_entry(row) for row in rows]


def _entry(row: asyncpg.Record) -> RegistryEntry:
    """A device that ever had a key keeps its flag when the last one ends: it is refused then, and not taken as a plain
    sender. So does one that was ever bound to a product."""
    names = dict.fromkeys(name for name in (row["device"], row["imei"], row["serial"]) if name)
    keys = zip(row["kinds"] or (), row["ids"] or (), row["seals"] or (), strict=True)
    credentials = tuple(Credential(CredentialKind(kind), key_id, sealed) for kind, key_id, sealed in keys)
    flags = (ENABLED if row["enabled"] else 0) | (HAS_KEY if row["has_key"] or row["ever"] else 0)
    flags |= WAS_PUSHED if row["was_pushed"] else 0
    return RegistryEntry(
        row["device"], tuple(names), tuple(row["plain_sources"]), flags, credentials, row["model"] or "",
        tuple(row["products"] or ()),
    )  # fmt: skip
