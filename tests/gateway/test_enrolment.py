"""From a decision about a key to the gateways, and from a stranger's knock to the database: real processes, NATS and
PostgreSQL."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import asyncpg
import pytest
from nats.js import JetStreamContext

from deploy.embedded.nats import NatsServer
from deploy.enrolment import make_keys, revoke_keys
from gateway.coap import message as coap
from gateway.coap.message import Message, encode
from ingest.registry.gateway_ear import GatewayEar
from ingest.registry.publisher import RegistryPublisher
from metering.credentials import CredentialKind, MasterKeys
from metering.key_uses import KEYS_USED_SUBJECT, KeyUse, encode_uses
from metering.stream_connection import connect
from tests.gateway.conftest import GatewayProcess, OpenSender, StartGateway, until

KEYS = MasterKeys({0: secrets.token_bytes(32)})
METER = "861234567890123"
VALID = "nbwater_gateway_registry_keys"


@pytest.fixture
async def connection(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(database_url)
    await connection.execute(
        "INSERT INTO devices (device, imei, plain_sources) VALUES ($1, $1, '{127.0.0.0/8}')", METER
    )
    yield connection
    await connection.close()


@pytest.fixture
async def ingest(
    connection: asyncpg.Connection, database_url: str, nats_server: NatsServer, js: JetStreamContext
) -> AsyncIterator[None]:
    """The registry's stages of the ingest worker, with ingest's own rights on NATS and in the database."""
    client = await connect(nats_server.url_for("ingest"), "ingest")
    async with asyncpg.create_pool(f"{database_url}?options=-crole%3Dnbwater_ingest", min_size=1, max_size=4) as pool:
        stages = [RegistryPublisher(pool, client.jetstream(timeout=5)), GatewayEar(pool, client)]
        tasks = [asyncio.create_task(stage.run()) for stage in stages]
        yield
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    await client.close()


def report(message_id: int, device: str) -> bytes:
    options = [(coap.URI_PATH, b"r"), (coap.URI_PATH, device.encode()), (coap.CONTENT_FORMAT, b"\x2a")]
    return encode(Message(coap.CON, coap.POST, message_id, b"", options, b"frame"))


async def ask(gateway: GatewayProcess, open_sender: OpenSender, message_id: int, device: str = METER) -> str:
    sender = await open_sender(gateway.port)
    return coap.code_name((await sender.ask(report(message_id, device)))[1])


async def until_keys(gateway: GatewayProcess, count: int) -> None:
    async def known() -> bool:
        return await gateway.metric(VALID) == count

    await until(known)


async def test_a_key_given_and_revoked_is_known_to_a_gateway_within_seconds(
    connection: asyncpg.Connection, database_url: str, ingest: None, start_gateway: StartGateway,
    open_sender: OpenSender, tmp_path: Path,
) -> None:  # fmt: skip
    gateway = await start_gateway()
    assert await ask(gateway, open_sender, 1) == "2.04"
    begun = time.monotonic()
    await make_keys(database_url, KEYS, CredentialKind.PSK, None, tmp_path / "keys.csv")
    await until_keys(gateway, 1)
    given_s = time.monotonic() - begun
    assert await ask(gateway, open_sender, 2) == "4.01"  # it has a key and must use it
    begun = time.monotonic()
    await revoke_keys(database_url, [(0, METER)], None, "stolen")
    await until_keys(gateway, 0)
    print(f"a key was known to the gateway after {given_s:.2f} s, its end after {time.monotonic() - begun:.2f} s")
    assert await ask(gateway, open_sender, 3) == "4.01"  # and is no plain sender because it lost it


async def test_an_old_key_ends_by_time_and_by_the_use_of_the_new_one(
    connection: asyncpg.Connection, database_url: str, nats_server: NatsServer, ingest: None,
    start_gateway: StartGateway, tmp_path: Path,
) -> None:  # fmt: skip
    gateway = await start_gateway()
    names = [(0, METER)]
    for kind in (CredentialKind.PSK, CredentialKind.MQTT):
        await make_keys(database_url, KEYS, kind, names, tmp_path / f"{kind}.csv")
        await make_keys(database_url, KEYS, kind, names, tmp_path / f"{kind}2.csv", overlap=timedelta(days=1))
    await until_keys(gateway, 4)
    client = await connect(nats_server.url_for("gateway"), "gateway")
    await client.publish(KEYS_USED_SUBJECT, b"no list of uses")
    await client.publish(KEYS_USED_SUBJECT, encode_uses([KeyUse(CredentialKind.PSK, f"{METER}~2".encode())]))
    await until_keys(gateway, 3)
    await client.close()
    await connection.execute("UPDATE credentials SET expires_at = now() + INTERVAL '1 s' WHERE expires_at > now()")
    await until_keys(gateway, 2)
    rows = await connection.fetch(
        "SELECT revoked_why FROM credentials WHERE revoked_at IS NOT NULL ORDER BY revoked_at"
    )
    assert [row[0] for row in rows] == ["replaced", "expired"]


async def test_strangers_that_knock_are_in_the_database_within_seconds(
    connection: asyncpg.Connection, ingest: None, start_gateway: StartGateway, open_sender: OpenSender
) -> None:
    gateway = await start_gateway()
    for number in range(3):
        assert await ask(gateway, open_sender, number, "861000000000001") == "4.01"
    await ask(gateway, open_sender, 9, "\x1b[2J'; DROP TABLE strangers")

    async def told() -> list[asyncpg.Record]:
        rows = await connection.fetch("SELECT name, door, source, reason, knocks FROM strangers ORDER BY knocks DESC")
        return rows if len(rows) == 2 else []

    rows = await until(told)
    assert [tuple(row) for row in rows] == [
        ("861000000000001", "coap", "127.0.0.1", "unknown_device", 3),
        ("?[2J'; DROP TABLE strangers", "coap", "127.0.0.1", "unknown_device", 1),
    ]
