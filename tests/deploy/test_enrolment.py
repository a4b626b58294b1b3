"""Keys of many meters at once, against a real database; no secret in the database, the audit log or a message."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import asyncpg
import pytest

from api.reasons import ending_reason
from deploy import enrolment
from deploy.enrolment import enrol_rows, import_keys, make_keys, master_keys, reseal_keys, revoke_keys
from ingest.registry.key_rows import KeyRow, parse_key_file
from metering.credentials import Credential, CredentialKind, MasterKeys, OscoreSecret
from metering.errors import ConflictError, ImportRowsError, RequestError, SettingsError
from metering.new_keys import PlainKey, new_key
from simulators.keys import key_row, master_secret, mqtt_password, mqtt_row, psk, psk_row

OSCORE, PSK, MQTT = CredentialKind.OSCORE, CredentialKind.PSK, CredentialKind.MQTT
KEYS = MasterKeys({0: secrets.token_bytes(32)})
DEVICES = [(0, "861"), (0, "862"), (0, "863")]


@pytest.fixture
async def connection(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(database_url)
    await connection.execute("INSERT INTO devices (device) VALUES ('861'), ('862'), ('863')")
    yield connection
    await connection.close()


async def opened(connection: asyncpg.Connection, keys: MasterKeys = KEYS) -> dict[str, bytes]:
    """Valid keys by their device."""
    rows = await connection.fetch("SELECT * FROM credentials JOIN devices USING (device_id) WHERE revoked_at IS NULL")
    return {
        row["device"]: keys.open(Credential(CredentialKind(row["kind"]), row["key_id"], row["sealed"])) for row in rows
    }


async def everything(connection: asyncpg.Connection) -> str:
    """All that the database holds of keys, as text and as hexadecimal."""
    rows = [
        tuple(row)
        for table in ("credentials", "audit_log", "outbox")
        for row in await connection.fetch(f"SELECT * FROM {table}")
    ]
    return repr(rows) + " ".join(value.hex() for row in rows for value in row if isinstance(value, bytes))


def assert_hidden(rows: list[KeyRow], text: str) -> None:
    for row in rows:
        for secret in (row.key.shown_key, repr(row.key.key)[2:-1], row.key.key.hex()):
            assert secret not in text


@pytest.mark.parametrize("kind", CredentialKind)
async def test_made_keys_are_stored_sealed_and_written_once(
    connection: asyncpg.Connection, database_url: str, tmp_path: Path, kind: CredentialKind
) -> None:
    out = tmp_path / "keys.csv"
    assert await make_keys(database_url, KEYS, kind, None, out) == 3
    rows = parse_key_file(out.read_bytes())
    stored = await opened(connection)
    for row in rows:
        secret = OscoreSecret(row.key.key, row.key.salt).encode() if kind is OSCORE else row.key.key
        assert stored[row.name] == secret
    assert_hidden(rows, await everything(connection))
    assert await make_keys(database_url, KEYS, kind, None, tmp_path / "none.csv") == 0
    with pytest.raises(ImportRowsError, match="1 error"):
        await make_keys(database_url, KEYS, kind, DEVICES[:1], tmp_path / "again.csv")
    assert not (tmp_path / "again.csv").exists()
    action = await connection.fetchrow("SELECT actor, action, object, detail FROM audit_log")
    assert (action["actor"], action["action"], action["object"]) == ("command line", "keys.generate", "3 devices")


async def test_a_file_that_cannot_be_written_leaves_no_key(
    connection: asyncpg.Connection, database_url: str, tmp_path: Path
) -> None:
    with pytest.raises(RequestError):
        await make_keys(database_url, KEYS, PSK, DEVICES, tmp_path / "missing" / "keys.csv")
    assert await opened(connection) == {}


async def test_sender_ids_that_are_taken_are_drawn_again(
    connection: asyncpg.Connection, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lots = iter([b"\x01", b"\x01", b"\x02", b"\x02", b"\x03"])
    monkeypatch.setattr(
        enrolment, "new_key", lambda kind, *_: PlainKey(kind, next(lots), secrets.token_bytes(16), b"salt")
    )
    assert await make_keys(database_url, KEYS, OSCORE, None, tmp_path / "keys.csv") == 3
    ids = await connection.fetchval("SELECT array_agg(key_id ORDER BY key_id) FROM credentials")
    assert ids == [b"\x01", b"\x02", b"\x03"]
    stored = await opened(connection)
    for row in parse_key_file((tmp_path / "keys.csv").read_bytes()):
        assert OscoreSecret.decode(stored[row.name]).master_secret == row.key.key


async def test_an_import_is_all_or_nothing(connection: asyncpg.Connection, database_url: str) -> None:
    secret, password = secrets.token_hex(16), secrets.token_urlsafe(24)
    good = f"device,kind,key_id,key\n861,psk,,{secret}\n862,oscore,0102,{secret}\n863,mqtt,meter-3,{password}\n"
    for bad in (f"nobody,psk,,{secret}\n", "861,oscore,0102,00\n", f"863,psk,861,{secret}\n"):
        with pytest.raises(ImportRowsError) as caught:
            await import_keys(database_url, KEYS, (good + bad).encode())
        assert [line for line, _, _ in caught.value.rows] == [5]
        assert secret not in str(caught.value.rows)
    assert await opened(connection) == {}
    assert await import_keys(database_url, KEYS, good.encode()) == 3
    stored = await opened(connection)
    assert (stored["861"], stored["863"]) == (bytes.fromhex(secret), password.encode())
    assert OscoreSecret.decode(stored["862"]) == OscoreSecret(bytes.fromhex(secret))
    text = await everything(connection)
    assert secret not in text
    assert password not in text
    with pytest.raises(ImportRowsError, match="1 error"):
        await import_keys(database_url, KEYS, good.encode())


async def test_rotation_and_revocation(connection: asyncpg.Connection, database_url: str, tmp_path: Path) -> None:
    with pytest.raises(ImportRowsError):
        await make_keys(database_url, KEYS, MQTT, DEVICES, tmp_path / "none.csv", overlap=timedelta(days=1))
    await make_keys(database_url, KEYS, MQTT, DEVICES, tmp_path / "first.csv")
    await make_keys(database_url, KEYS, MQTT, DEVICES[:2], tmp_path / "next.csv", overlap=timedelta(days=1))
    assert [row.key.shown_id for row in parse_key_file((tmp_path / "next.csv").read_bytes())] == ["861~2", "862~2"]
    assert await connection.fetchval("SELECT count(*) FROM credentials WHERE revoked_at IS NULL") == 5
    assert await connection.fetchval("SELECT count(*) FROM credentials WHERE expires_at IS NOT NULL") == 2
    key = new_key(MQTT, "863").shown_key
    await import_keys(database_url, KEYS, f"device,kind,key_id,key\n863,mqtt,863-b,{key}\n".encode(), timedelta(days=1))
    assert await revoke_keys(database_url, DEVICES, None, "sold") == 6
    assert await opened(connection) == {}
    actions = [row[0] for row in await connection.fetch("SELECT action FROM audit_log ORDER BY at")]
    assert actions == ["keys.generate", "keys.rotate", "keys.import", "keys.revoke"]


async def test_a_new_master_key(connection: asyncpg.Connection, database_url: str, tmp_path: Path) -> None:
    old, new = secrets.token_bytes(32), secrets.token_bytes(32)
    await make_keys(database_url, MasterKeys({0: old}), PSK, None, tmp_path / "keys.csv")
    before = await opened(connection, MasterKeys({0: old}))
    with pytest.raises(ConflictError, match="3 keys"):
        await reseal_keys(database_url, MasterKeys({1: new}))
    assert await reseal_keys(database_url, MasterKeys({0: old, 1: new})) == 3
    assert await opened(connection, MasterKeys({1: new})) == before


def test_a_master_key_is_never_made_by_a_command(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="there is no master key"):
        master_keys(tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("reason", ["", "  ", "x" * 201, "a\nb"])
def test_a_reason_is_needed(reason: str) -> None:
    with pytest.raises(RequestError):
        ending_reason(reason)


async def test_simulated_meters_are_enrolled_at_each_start(connection: asyncpg.Connection, database_url: str) -> None:
    rows = [mqtt_row("861", "861"), psk_row("862", "862"), key_row("863")]
    assert await enrol_rows(database_url, KEYS, rows[:2]) == 2
    assert await enrol_rows(database_url, KEYS, rows) == 1
    assert await enrol_rows(database_url, KEYS, rows) == 0
    held = await opened(connection)
    assert (held["861"], held["862"]) == (mqtt_password("861").encode(), psk("862"))
    assert OscoreSecret.decode(held["863"]).master_secret == master_secret("863")
