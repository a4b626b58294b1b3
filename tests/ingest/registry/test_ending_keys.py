"""Keys end by time and by the use of the next one, and the gateways' entries say so."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from ingest.registry.ending_keys import end_expired, end_replaced
from ingest.registry.entries import entries_of
from metering.credentials import CredentialKind
from metering.key_uses import KeyUse

PSK = CredentialKind.PSK


@pytest.fixture
async def connection(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(database_url)
    await connection.execute("INSERT INTO devices (device) VALUES ('861'), ('862')")
    yield connection
    await connection.close()


async def key(
    connection: asyncpg.Connection,
    key_id: bytes,
    device: int = 1,
    replaces: int | None = None,
    ends_s: int | None = None,
) -> int:
    return await connection.fetchval(
        "INSERT INTO credentials (device_id, kind, key_id, sealed, created_by, replaces_id, expires_at) "
        "VALUES ($1, 2, $2, 'x', 'test', $3, now() + $4 * INTERVAL '1 second') RETURNING credential_id",
        device, key_id, replaces, ends_s,
    )  # fmt: skip


async def valid(connection: asyncpg.Connection, device: str = "861") -> list[bytes]:
    (entry,) = await entries_of(connection, [device])
    return [credential.key_id for credential in entry.credentials]


async def test_what_has_expired_ends_and_is_announced(connection: asyncpg.Connection) -> None:
    await key(connection, b"gone", ends_s=-1)
    await key(connection, b"soon", ends_s=1000)
    await key(connection, b"stays")
    await connection.execute("DELETE FROM outbox")
    await connection.execute("SET ROLE nbwater_ingest")
    assert await end_expired(connection, datetime.now(UTC)) == 1
    assert await end_expired(connection, datetime.now(UTC)) == 0
    await connection.execute("RESET ROLE")
    assert await valid(connection) == [b"soon", b"stays"]
    assert await connection.fetchval("SELECT array_agg(device) FROM outbox") == ["861"]
    assert await connection.fetchval("SELECT revoked_why FROM credentials WHERE key_id = 'gone'") == "expired"
    await key(connection, b"gone")  # its id is free again


async def test_one_clock_that_is_a_day_ahead_ends_no_key(connection: asyncpg.Connection) -> None:
    """The database's: to it a key that ends in an hour ended long ago. Ours: it has an hour by the database's."""
    await key(connection, b"database ahead", ends_s=-23 * 3600)
    await key(connection, b"ours ahead", ends_s=3600)
    assert await end_expired(connection, datetime.now(UTC) - timedelta(days=1)) == 0
    assert await valid(connection) == [b"database ahead", b"ours ahead"]
    assert await end_expired(connection, datetime.now(UTC) + timedelta(days=1)) == 1
    assert await valid(connection) == [b"ours ahead"]


async def test_the_use_of_the_next_key_ends_those_before_it(connection: asyncpg.Connection) -> None:
    first = await key(connection, b"1", ends_s=1000)
    second = await key(connection, b"2", replaces=first, ends_s=1000)
    await key(connection, b"3", replaces=second)
    other = await key(connection, b"other", device=2, ends_s=1000)
    await key(connection, b"other 2", device=2, replaces=other)
    await connection.execute("SET ROLE nbwater_ingest")
    assert await end_replaced(connection, [KeyUse(PSK, b"1"), KeyUse(CredentialKind.MQTT, b"3")]) == 0
    assert await end_replaced(connection, [KeyUse(PSK, b"2")]) == 1
    assert await valid(connection) == [b"2", b"3"]
    assert await end_replaced(connection, [KeyUse(PSK, b"3"), KeyUse(PSK, b"nobody's")]) == 1
    await connection.execute("RESET ROLE")
    assert (await valid(connection), await valid(connection, "862")) == ([b"3"], [b"other", b"other 2"])


async def test_who_had_a_key_is_never_a_plain_sender_again(connection: asyncpg.Connection) -> None:
    await key(connection, b"only", ends_s=-1)
    await end_expired(connection, datetime.now(UTC))
    (entry,) = await entries_of(connection, ["861"])
    assert (entry.credentials, entry.has_key) == ((), True)
    (other,) = await entries_of(connection, ["862"])
    assert not other.has_key


async def test_ingest_may_not_change_what_a_key_is(connection: asyncpg.Connection) -> None:
    await key(connection, b"1")
    await connection.execute("SET ROLE nbwater_ingest")
    for forbidden in (
        "UPDATE credentials SET sealed = 'y'",
        "UPDATE credentials SET device_id = 2",
        "DELETE FROM credentials",
        "INSERT INTO credentials (device_id, kind, key_id, sealed, created_by) VALUES (1, 1, 'x', 'x', 'x')",
        "SELECT enrol_stranger('861', '1', false)",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(forbidden)
    await connection.execute("RESET ROLE")
