"""A nats-server with its MQTT listener, a registry with keyed meters, and a gateway whose MQTT door is open."""

from __future__ import annotations

import asyncio
import secrets
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiomqtt
import nats
import pytest
from nats.js import JetStreamContext
from nats.js.api import Header

from deploy.embedded.mqtt_listener import MqttListener
from deploy.embedded.nats import USERS, NatsServer
from deploy.embedded.ports import free_tcp_port
from metering.credentials import CredentialKind, MasterKeys
from metering.registry import ENABLED, HAS_KEY, RegistryEntry, encode_entries
from metering.streams import REGISTRY_STREAM, REGISTRY_SUBJECT, StreamSizes, ensure
from tests.conftest import TEST_STREAM_BYTES
from tests.gateway.conftest import GatewayProcess, StartGateway, until, write_snapshot

MASTER = "11" * 32
KEYS = MasterKeys({0: bytes.fromhex(MASTER)})
PLAIN_PASSWORD = "meter's own"
METERS = tuple(f"86123456789020{n}" for n in range(4))


def entry(device: str, password: str | None = PLAIN_PASSWORD, user: str = "", enabled: bool = True) -> RegistryEntry:
    """A meter with this password, or with none any more."""
    sealed = KEYS.seal(CredentialKind.MQTT, (user or device).encode(), password.encode()) if password else None
    flags = (ENABLED if enabled else 0) | (HAS_KEY if sealed else 0)
    return RegistryEntry(device, (device,), (), flags, (sealed,) if sealed else ())


ENTRIES = [entry(device) for device in METERS]


@dataclass
class Listener:
    """nats-server with its listener; `js` is the administrator's."""

    server: NatsServer
    js: JetStreamContext

    @property
    def port(self) -> int:
        assert self.server.mqtt is not None
        return self.server.mqtt.port

    @property
    def settings(self) -> dict[str, str]:
        """Of a gateway that uses it."""
        mqtt = self.server.mqtt
        assert mqtt is not None
        return {
            "NBWATER_MQTT_URL": mqtt.url,
            "NBWATER_MQTT_CALLOUT_SECRET": mqtt.callout_secret,
            "NBWATER_KEYS_MASTER": MASTER,
        }

    def meter(self, device: str, password: str = PLAIN_PASSWORD, user: str = "", **options: Any) -> aiomqtt.Client:
        """Not connected yet. `options`: of aiomqtt."""
        chosen: dict[str, Any] = {"identifier": device, "clean_session": True, "timeout": 20} | options
        return aiomqtt.Client("127.0.0.1", self.port, username=user or device, password=password, **chosen)

    async def change(self, changed: RegistryEntry) -> None:
        """As ingest tells it."""
        last = (await self.js.stream_info(REGISTRY_STREAM)).state.last_seq
        await self.js.publish(
            REGISTRY_SUBJECT, encode_entries([changed]), headers={Header.EXPECTED_LAST_SEQUENCE.value: str(last)}
        )


@pytest.fixture(scope="module")
def mqtt_server() -> Iterator[NatsServer]:
    directory = Path(tempfile.mkdtemp(prefix="nbwater-mqtt-"))
    server = make_server(directory)
    server.start()
    yield server
    server.stop()
    shutil.rmtree(directory)


def make_server(directory: Path) -> NatsServer:
    mqtt = MqttListener("127.0.0.1", free_tcp_port(), secrets.token_hex(16), secrets.token_hex(32))
    return NatsServer(directory, {user: secrets.token_hex(16) for user in USERS}, mqtt=mqtt)


@asynccontextmanager
async def listener_of(
    server: NatsServer, up_max_bytes: int = TEST_STREAM_BYTES, mqtt_max_bytes: int = TEST_STREAM_BYTES
) -> AsyncIterator[Listener]:
    """With fresh streams of ours; those of MQTT stay, as nats-server keeps them in memory too."""
    connection = await nats.connect(server.url)
    js = connection.jetstream(timeout=10)
    for stream in await js.streams_info():
        if not str(stream.config.name).startswith("$MQTT"):
            await js.delete_stream(str(stream.config.name))
    sizes = StreamSizes(up_max_bytes, registry_max_bytes=TEST_STREAM_BYTES, mqtt_max_bytes=mqtt_max_bytes)
    await ensure(js, sizes)
    await write_snapshot(js, ENTRIES)
    yield Listener(server, js)
    await connection.close()


@pytest.fixture
async def listener(mqtt_server: NatsServer) -> AsyncIterator[Listener]:
    async with listener_of(mqtt_server) as made:
        yield made


async def accepts(port: int) -> bool:
    """Whether a broker listens there by now."""
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


async def is_open(gateway: GatewayProcess) -> bool:
    return await gateway.metric("nbwater_gateway_mqtt_connected") == 1


async def open_gateway(start: StartGateway, listener: Listener, **more: str) -> GatewayProcess:
    """Its door is open when this returns. `more`: environment."""
    gateway = await start(nats=listener.server, environment=listener.settings | more)
    await until(lambda: is_open(gateway))
    return gateway


@pytest.fixture
async def gateway(start_gateway: StartGateway, listener: Listener) -> GatewayProcess:
    return await open_gateway(start_gateway, listener)
