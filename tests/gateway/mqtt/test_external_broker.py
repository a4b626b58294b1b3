"""A real Mosquitto in front: with the shipped access list it serves, without it the door stays closed."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import aiomqtt
import pytest

import deploy.mqtt
from deploy.embedded.nats import NatsServer
from deploy.embedded.ports import free_tcp_port
from deploy.mqtt.acl import GATEWAY_USER, mosquitto
from gateway.mqtt.topics import PROBE, up
from tests.gateway.conftest import GatewayProcess, StartGateway, stored, until
from tests.gateway.mqtt.conftest import METERS, Listener, accepts, is_open, listener_of

BROKER = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")
pytestmark = pytest.mark.skipif(BROKER is None, reason="NOT RUN: mosquitto (Debian package) is not installed")
PASSWORD = "secret"
SAFE = "allow_anonymous false\npassword_file passwords\nacl_file acl"


@dataclass
class Mosquitto:
    """Two listeners as in deploy/mqtt/mosquitto.conf, without TLS."""

    meters_port: int
    gateways_port: int

    @property
    def settings(self) -> dict[str, str]:
        return {
            "NBWATER_MQTT_URL": f"mqtt://{GATEWAY_USER}:{PASSWORD}@127.0.0.1:{self.gateways_port}",
            "NBWATER_MQTT_BROKER": "external",
            "NBWATER_MQTT_PROBE_PASSWORD": PASSWORD,
        }

    def meter(self, device: str) -> aiomqtt.Client:
        return aiomqtt.Client("127.0.0.1", self.meters_port, username=device, password=PASSWORD, timeout=20)


StartBroker = Callable[[str], Awaitable[Mosquitto]]


@pytest.fixture
async def start_broker(tmp_path: Path) -> AsyncIterator[StartBroker]:
    started: list[asyncio.subprocess.Process] = []

    async def start(rules: str) -> Mosquitto:
        made = Mosquitto(free_tcp_port(), free_tcp_port())
        listeners = (
            f"listener {made.meters_port} 127.0.0.1\nuse_username_as_clientid true\n"
            f"listener {made.gateways_port} 127.0.0.1\n"
        )
        (tmp_path / "mosquitto.conf").write_text(f"{rules}\n{_shipped()}\nuser root\n{listeners}")
        (tmp_path / "acl").write_text(mosquitto(GATEWAY_USER))
        _write_passwords(tmp_path)
        started.append(await asyncio.create_subprocess_exec(str(BROKER), "-c", "mosquitto.conf", cwd=tmp_path))
        await until(lambda: accepts(made.gateways_port))
        return made

    yield start
    for process in started:
        if process.returncode is None:
            process.kill()
            await process.wait()


def _shipped() -> str:
    """How the configuration that we ship has it keep messages, in the working directory."""
    lines = (Path(deploy.mqtt.__file__).parent / "mosquitto.conf").read_text().splitlines()
    kept = lines[lines.index("persistence true") :]
    return "\n".join(line for line in kept if not line.startswith("persistence_location"))


def _write_passwords(folder: Path) -> None:
    (folder / "passwords").touch(mode=0o600)
    for user in (GATEWAY_USER, PROBE, *METERS):
        subprocess.run(["mosquitto_passwd", "-b", "passwords", user, PASSWORD], cwd=folder, check=True)


@pytest.fixture
async def stream(nats_server: NatsServer, nats_url: str) -> AsyncIterator[Listener]:
    """The stream behind, made after `nats_url` has removed all; its server has no listener for meters."""
    async with listener_of(nats_server) as made:
        yield made


async def test_two_gateways_share_what_comes(
    stream: Listener, start_gateway: StartGateway, start_broker: StartBroker, tmp_path: Path
) -> None:
    broker = await start_broker(SAFE)
    gateways = [
        await start_gateway(environment=broker.settings, worker=worker, workers=2, workers_directory=tmp_path)
        for worker in range(2)
    ]
    for gateway in gateways:
        await until(lambda gateway=gateway: is_open(gateway))
    sent = [bytes([n]) for n in range(50)]
    async with broker.meter(METERS[0]) as meter:
        for payload in sent:
            await meter.publish(up(METERS[0]), payload, qos=1)
        await meter.publish(up(METERS[1]), b"foreign", qos=1)
        await meter.publish(up(METERS[0]), b"last", qos=1)

    async def arrived() -> bool:
        return len(await stored(stream.js)) >= len(sent) + 1

    await until(arrived)
    reports = await stored(stream.js)
    assert sorted(report.payload for report in reports) == sorted([*sent, b"last"])
    assert {report.device for report in reports} == {METERS[0]}
    shares = [await gateway.metric("nbwater_gateway_mqtt_acknowledged") for gateway in gateways]
    assert sum(shares) == len(reports)
    assert all(shares)


async def is_shut(gateway: GatewayProcess) -> bool:
    return await gateway.metric("nbwater_gateway_mqtt_shut") == 1


@pytest.mark.parametrize(
    "rules",
    [
        "allow_anonymous true",
        "allow_anonymous true\npassword_file passwords\nacl_file acl",
        "allow_anonymous false\npassword_file passwords",
    ],
    ids=["anybody", "also without a login", "no access list"],
)
async def test_the_door_stays_closed(
    stream: Listener, start_gateway: StartGateway, start_broker: StartBroker, rules: str
) -> None:
    broker = await start_broker(rules)
    gateway = await start_gateway(environment=broker.settings)
    await until(lambda: is_shut(gateway))
    assert not await is_open(gateway)
