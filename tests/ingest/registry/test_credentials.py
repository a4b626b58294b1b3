"""Keys in the database: found by any name, stored once, replaced with overlap, revoked, sealed anew."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from datetime import timedelta

import asyncpg
import pytest

from ingest.registry import credentials as module
from ingest.registry.credentials import (
    Held,
    KeyHolder,
    held,
    holders_of,
    holders_without,
    phase_out,
    reseal,
    revoke,
    seal_all,
    store,
)
from metering.credentials import Credential, CredentialKind, MasterKeys
from metering.errors import ImportRowsError
from metering.new_keys import PlainKey, new_key

PSK, OSCORE = CredentialKind.PSK, CredentialKind.OSCORE
OLD_MASTER, NEW_MASTER = secrets.token_bytes(32), secrets.token_bytes(32)
MASTER = MasterKeys({0: OLD_MASTER})
IMEI = "861234567890123"


@pytest.fixture
async def connection(database_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[asyncpg.Connection]:
    monkeypatch.setattr(module, "SLICE_ROWS", 2)
    connection = await asyncpg.connect(database_url)
    await connection.execute(
        f"""
        INSERT INTO service_points DEFAULT VALUES;
        INSERT INTO meters (serial) VALUES ('1001');
        INSERT INTO devices (device, imei) VALUES ('{IMEI}', '{IMEI}'), ('862', NULL), ('863', NULL);
        INSERT INTO installations (service_point_id, meter_id, device_id, valid_from) VALUES (1, 1, 1, now());
        """
    )
    yield connection
    await connection.close()


async def give(connection: asyncpg.Connection, kind: CredentialKind, *devices: str) -> list[KeyHolder]:
    holders = await holders_of(connection, [(n, device) for n, device in enumerate(devices)])
    before = await held(connection, kind, holders)
    made = [
        (holder, new_key(kind, holder.device, taken=before.get(holder.device_id, Held()).ids)) for holder in holders
    ]
    assert await store(connection, seal_all(MASTER, made, before), "test") == []
    return holders


async def test_a_device_is_found_by_each_of_its_names(connection: asyncpg.Connection) -> None:
    expected = KeyHolder(0, "", 1, IMEI, IMEI, "1001")
    for name in (IMEI, "1001"):
        (found,) = await holders_of(connection, [(7, name)])
        assert found == expected._replace(line=7, name=name)
    with pytest.raises(ImportRowsError) as caught:
        await holders_of(connection, [(2, "1001"), (3, "nobody"), (4, IMEI), (5, "862")])
    assert caught.value.rows == [
        (3, "", "no device or meter is called nobody"),
        (4, "", f"{IMEI} is the device of line 2"),
    ]


async def test_who_has_no_key_of_a_kind(connection: asyncpg.Connection) -> None:
    await give(connection, PSK, "862")
    assert [holder.device for holder in await holders_without(connection, PSK)] == [IMEI, "863"]
    assert len(await holders_without(connection, OSCORE)) == 3


async def test_an_id_that_is_taken_is_refused_and_the_rest_stored(connection: asyncpg.Connection) -> None:
    (holder,) = await give(connection, PSK, "862")
    others = await holders_of(connection, [(1, IMEI), (2, "863")])
    new = seal_all(MASTER, [(others[0], PlainKey(PSK, b"862", b"k" * 16)), (others[1], new_key(PSK, "863"))], {})
    assert [each.holder.device for each in await store(connection, new, "test")] == [IMEI]
    assert await connection.fetchval("SELECT count(*) FROM credentials") == 2
    assert await revoke(connection, [holder], None, "lost") == 1
    assert await store(connection, new[:1], "test") == []


async def test_rotation_leaves_both_valid_for_a_time(connection: asyncpg.Connection) -> None:
    holders = await give(connection, PSK, "862", "863", IMEI)
    await phase_out(connection, PSK, holders, timedelta(days=30))
    await phase_out(connection, PSK, holders, timedelta(days=90))  # never later than was promised
    await give(connection, PSK, "862", "863", IMEI)
    rows = await connection.fetch(
        "SELECT convert_from(key_id, 'UTF8') AS id, replaces_id, expires_at < now() + INTERVAL '31 days' AS ends "
        "FROM credentials WHERE device_id = 2 ORDER BY credential_id"
    )
    assert [tuple(row) for row in rows] == [("862", None, True), ("862~2", 1, None)]
    assert (await held(connection, PSK, holders))[2] == Held((b"862", b"862~2"), 4)


async def test_revocation_of_a_kind_or_all(connection: asyncpg.Connection) -> None:
    holders = await give(connection, PSK, "862", "863", IMEI)
    await give(connection, OSCORE, "862", "863", IMEI)
    await connection.execute("DELETE FROM outbox")
    assert await revoke(connection, holders[:1], PSK, "lost") == 1
    assert await revoke(connection, holders, None, "stolen") == 5
    assert await revoke(connection, holders, None, "again") == 0
    assert await connection.fetchval("SELECT count(DISTINCT device) FROM outbox") == 3
    assert {row[0] for row in await connection.fetch("SELECT revoked_why FROM credentials")} == {"lost", "stolen"}


async def test_all_keys_are_sealed_anew_and_open_as_before(connection: asyncpg.Connection) -> None:
    await give(connection, PSK, "862", "863", IMEI)
    rows = await connection.fetch("SELECT kind, key_id, sealed FROM credentials ORDER BY credential_id")
    before = [MASTER.open(Credential(PSK, row["key_id"], row["sealed"])) for row in rows]
    both = MasterKeys({0: OLD_MASTER, 3: NEW_MASTER})
    await connection.execute("DELETE FROM outbox")
    assert await reseal(connection, both) == (3, 0)
    assert await reseal(connection, both) == (0, 0)
    assert await connection.fetchval("SELECT count(DISTINCT device) FROM outbox") == 3
    rows = await connection.fetch("SELECT kind, key_id, sealed FROM credentials ORDER BY credential_id")
    newest = MasterKeys({3: NEW_MASTER})
    assert [newest.open(Credential(PSK, row["key_id"], row["sealed"])) for row in rows] == before
    assert await reseal(connection, MasterKeys({4: OLD_MASTER})) == (0, 3)
