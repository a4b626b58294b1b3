"""What is acknowledged to a meter is stored, whatever is killed; what cannot be stored is not acknowledged."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import aiomqtt
import pytest

from deploy.embedded.nats import NatsServer
from gateway.mqtt.topics import up
from metering.streams import UP_STREAM
from tests.gateway.conftest import GatewayProcess, StartGateway, stored, until
from tests.gateway.mqtt.conftest import METERS, Listener, listener_of, make_server, open_gateway

SMALL_STREAM_BYTES = 1 << 20
LARGE_REPORT = bytes(16_000)


@pytest.fixture
def own_server(tmp_path: Path) -> NatsServer:
    """One that may be killed."""
    return make_server(tmp_path / "nats")


@pytest.fixture
async def own_listener(own_server: NatsServer) -> AsyncIterator[Listener]:
    own_server.start()
    async with listener_of(own_server) as made:
        yield made
    own_server.kill()


class Fleet:
    """Meters that publish until they are stopped, and remember what was acknowledged to them."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self.acknowledged: set[bytes] = set()
        self.sent: set[bytes] = set()
        self._stopped = False

    def stop(self) -> None:
        """After the publishes under way. Not by cancelling: `wait_for` of Python 3.11, by which aiomqtt publishes, may
        lose a cancellation that comes with the acknowledgement."""
        self._stopped = True

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for device in METERS:
                group.create_task(self._meter(device))

    async def _meter(self, device: str) -> None:
        while not self._stopped:
            try:
                async with self._listener.meter(device, timeout=5) as client:
                    while not self._stopped:
                        payload = f"{device} {len(self.sent)}".encode()
                        self.sent.add(payload)
                        await client.publish(up(device), payload, qos=1)
                        self.acknowledged.add(payload)
            except aiomqtt.MqttError:
                await asyncio.sleep(0.1)

    async def more(self, count: int) -> None:
        wanted = len(self.acknowledged) + count

        async def there() -> bool:
            return len(self.acknowledged) >= wanted

        await until(there, 120)


async def test_kill_9_of_the_gateway_and_of_nats_server_loses_nothing(
    own_server: NatsServer, own_listener: Listener, start_gateway: StartGateway
) -> None:
    gateway = await open_gateway(start_gateway, own_listener)
    fleet = Fleet(own_listener)
    publishing = asyncio.create_task(fleet.run())
    await fleet.more(60)
    gateway.process.kill()
    await gateway.process.wait()
    gateway = await open_gateway(start_gateway, own_listener)
    await fleet.more(60)
    own_server.kill()
    own_server.start()
    await fleet.more(60)
    fleet.stop()
    await publishing

    async def all_stored() -> bool:
        return fleet.acknowledged <= {report.payload for report in await stored(own_listener.js)} <= fleet.sent

    await until(all_stored)


async def test_what_the_stream_refuses_is_kept_by_the_broker(
    own_server: NatsServer, start_gateway: StartGateway
) -> None:
    own_server.start()
    async with listener_of(own_server, SMALL_STREAM_BYTES) as listener:
        gateway = await open_gateway(start_gateway, listener)
        sent = [n.to_bytes(2) + LARGE_REPORT for n in range(80)]
        async with listener.meter(METERS[0]) as meter:
            for payload in sent:
                await meter.publish(up(METERS[0]), payload, qos=1)
        await until(lambda: is_withheld(gateway))
        assert await gateway.metric("nbwater_gateway_mqtt_acknowledged") < len(sent)
        kept = {report.payload for report in await stored(listener.js)}

        async def the_rest() -> bool:
            await listener.js.purge_stream(UP_STREAM)  # as the trimmer makes room
            return await gateway.metric("nbwater_gateway_mqtt_acknowledged") >= len(sent)

        await until(the_rest)
        assert kept < set(sent)
    own_server.kill()


async def is_withheld(gateway: GatewayProcess) -> bool:
    return await gateway.metric("nbwater_gateway_mqtt_retried") > 0
