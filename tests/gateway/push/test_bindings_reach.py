"""From an operator's act to a gateway that believes a product, and no more: real process, NATS and PostgreSQL."""

from __future__ import annotations

import asyncio
import time

import asyncpg
from nats.js import JetStreamContext

from deploy.embedded.nats import NatsServer
from deploy.push_bindings import bind_devices, unbind_devices
from ingest.registry.publisher import RegistryPublisher
from metering.stream_connection import connect
from tests.gateway.conftest import until
from tests.gateway.push.conftest import StartPush, body_of

METER = "861000000000031"


async def test_a_binding_reaches_a_gateway_within_seconds(
    js: JetStreamContext, database_url: str, nats_server: NatsServer, start_push: StartPush
) -> None:
    connection = await asyncpg.connect(database_url)
    await connection.execute("INSERT INTO devices (device) VALUES ($1)", METER)
    client = await connect(nats_server.url_for("ingest"), "ingest")
    async with asyncpg.create_pool(f"{database_url}?options=-crole%3Dnbwater_ingest", min_size=1, max_size=4) as pool:
        publishing = asyncio.create_task(RegistryPublisher(pool, client.jetstream(timeout=5)).run())
        push = await start_push()
        numbers = iter(range(1_000))
        refused = 0.0

        async def foreign() -> bool:
            nonlocal refused
            assert await push.post(body_of(next(numbers), IMEI=METER, deviceId="b-1")) == 200
            before, refused = refused, await push.metric('foreign_total{product="east"}')
            return refused > before

        async def believed() -> bool:
            return not await foreign()

        await until(foreign)
        begun = time.monotonic()
        await bind_devices(database_url, "east", [(0, METER)], beside=False)
        await until(believed)
        given_s, begun = time.monotonic() - begun, time.monotonic()
        await unbind_devices(database_url, [(0, METER)], None, "token leaked")
        await until(foreign)
        print(
            f"a binding was known to the gateway after {given_s:.2f} s, its end after {time.monotonic() - begun:.2f} s"
        )
        publishing.cancel()
        await asyncio.gather(publishing, return_exceptions=True)
    await client.close()
    await connection.close()
