"""Keys by REST: made by engineers, shown once, replaced, ended; with the rights of the api's own database role."""

from __future__ import annotations

from dataclasses import replace

import asyncpg
import httpx
import pytest
from fastapi import FastAPI
from structlog.testing import capture_logs

from api.app import create_app
from api.context import PageContext
from metering.credentials import Credential, CredentialKind, OscoreSecret
from tests.api.conftest import MASTER_KEYS, Seed, client_of

API = "/api/v1"
KEYS = f"{API}/meters/210000000001/keys"
DEVICE = "861234567890101"


async def make(client: httpx.AsyncClient, kind: str = "psk") -> dict[str, str]:
    answer = await client.post(KEYS, json={"kind": kind})
    assert answer.status_code == 201, answer.text
    return answer.json()


async def secret_of(connection: asyncpg.Connection, credential_id: int) -> bytes:
    row = await connection.fetchrow(
        "SELECT kind, key_id, sealed FROM credentials WHERE credential_id = $1", credential_id
    )
    return MASTER_KEYS.open(Credential(CredentialKind(row["kind"]), row["key_id"], row["sealed"]))


async def test_a_key_is_shown_once_and_never_again(engineer: httpx.AsyncClient, connection: asyncpg.Connection) -> None:
    with capture_logs() as logs:
        psk, oscore, mqtt = [await make(engineer, kind) for kind in ("psk", "oscore", "mqtt")]
        listed = await engineer.get(KEYS)
        spec = await engineer.get(f"{API}/openapi.json")
    assert (psk["key_id"], mqtt["key_id"], len(oscore["key_id"])) == (DEVICE, DEVICE, 10)
    assert await secret_of(connection, psk["credential_id"]) == bytes.fromhex(psk["key"])
    assert await secret_of(connection, mqtt["credential_id"]) == mqtt["key"].encode()
    context = OscoreSecret.decode(await secret_of(connection, oscore["credential_id"]))
    assert context == OscoreSecret(bytes.fromhex(oscore["key"]), bytes.fromhex(oscore["salt"]), None, b"")
    assert [(row["kind"], row["device"], row["created_by"]) for row in listed.json()] == [
        (kind, DEVICE, "engineer") for kind in ("mqtt", "oscore", "psk")
    ]
    rows = [
        dict(row) for table in ("audit_log", "credentials") for row in await connection.fetch(f"SELECT * FROM {table}")
    ]
    said = listed.text + spec.text + repr(logs) + repr(rows)
    for made in (psk, oscore, mqtt):
        assert made["key"] not in said
        assert repr(bytes.fromhex(made["key"]) if made is not mqtt else b"")[2:-1] not in said or made is mqtt
    assert oscore["salt"] not in said
    assert "sealed" not in listed.text


async def test_a_second_key_of_a_kind_is_a_rotation(
    engineer: httpx.AsyncClient, connection: asyncpg.Connection
) -> None:
    first = await make(engineer)
    assert (await engineer.post(KEYS, json={"kind": "psk"})).status_code == 409
    answer = await engineer.post(f"{API}/keys/{first['credential_id']}/rotate", json={"overlap_days": 2})
    assert (answer.status_code, answer.json()["key_id"]) == (201, f"{DEVICE}~2")
    listed = (await engineer.get(KEYS)).json()
    assert [(row["replaces_id"], row["expires_at"] is None) for row in listed] == [
        (first["credential_id"], True), (None, False),
    ]  # fmt: skip
    stale = await engineer.post(f"{API}/keys/{first['credential_id']}/rotate", json={})
    assert (stale.status_code, stale.json()["code"]) == (409, "conflict")
    actions = await connection.fetch(
        "SELECT actor, action, object FROM audit_log WHERE action LIKE 'key.%' ORDER BY at"
    )
    assert [tuple(row) for row in actions] == [("engineer", "key.create", DEVICE), ("engineer", "key.rotate", DEVICE)]


async def test_a_key_ends_once_with_a_reason(engineer: httpx.AsyncClient, connection: asyncpg.Connection) -> None:
    key = f"{API}/keys/{(await make(engineer))['credential_id']}"
    await connection.execute("DELETE FROM outbox")
    assert (await engineer.post(f"{key}/revoke", json={})).status_code == 422
    assert (await engineer.post(f"{key}/revoke", json={"reason": " "})).status_code == 400
    assert (await engineer.post(f"{key}/revoke", json={"reason": "stolen"})).status_code == 204
    assert (await engineer.post(f"{key}/revoke", json={"reason": "stolen"})).status_code == 409
    assert (await engineer.post(f"{API}/keys/999/revoke", json={"reason": "stolen"})).status_code == 404
    assert await connection.fetchval("SELECT array_agg(device) FROM outbox") == [DEVICE]
    (row,) = (await engineer.get(KEYS)).json()
    assert row["revoked_why"] == "stolen"
    assert (await make(engineer))["key_id"] == f"{DEVICE}~2"  # never an id that stood for another key


@pytest.mark.parametrize("path", [f"{API}/meters/none/keys", f"{API}/meters/210000000006/keys"])
async def test_a_meter_without_a_device_gets_no_key(seeded: Seed, engineer: httpx.AsyncClient, path: str) -> None:
    assert (await engineer.post(path, json={"kind": "psk"})).status_code == 404


async def test_only_engineers_and_only_with_a_master_key(
    seeded: Seed, operator: httpx.AsyncClient, engineer: httpx.AsyncClient, context: PageContext, app: FastAPI
) -> None:
    for method, path, body in (
        ("GET", KEYS, None),
        ("POST", KEYS, {"kind": "psk"}),
        ("POST", f"{API}/keys/1/rotate", {}),
        ("POST", f"{API}/keys/1/revoke", {"reason": "x"}),
    ):
        assert (await operator.request(method, path, json=body)).status_code == 403
    without = create_app(replace(context, master_keys=None))
    async with client_of(without, Authorization=engineer.headers["Authorization"]) as client:
        refused = await client.post(KEYS, json={"kind": "psk"})
    assert (refused.status_code, "NBWATER_KEYS_MASTER_FILE" in refused.json()["message"]) == (400, True)


async def test_the_api_cannot_read_a_seal_or_change_what_a_key_is(
    engineer: httpx.AsyncClient, connection: asyncpg.Connection
) -> None:
    await make(engineer)
    await connection.execute("SET ROLE nbwater_api")
    for forbidden in (
        "SELECT sealed FROM credentials",
        "SELECT * FROM credentials",
        "UPDATE credentials SET sealed = 'x'",
        "UPDATE credentials SET key_id = 'x'",
        "DELETE FROM credentials",
        "INSERT INTO credentials (device_id, kind, key_id, sealed, created_by) VALUES (1, 2, 'a', 'b', 'c') "
        "RETURNING sealed",
        "INSERT INTO credentials (device_id, kind, key_id, sealed, created_by, created_at) "
        "VALUES (1, 2, 'a', 'b', 'c', now())",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(forbidden)
