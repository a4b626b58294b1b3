"""The MQTT door with a broker in front: what Mosquitto costs beside nats-server's own listener.

As `tests.bench.mqtt_door`: publishes a second acknowledged and in custody, memory of a session in the broker, bytes of
a daily report on air. The broker has the shipped access list and saves on every change; without TLS, as there.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiomqtt
import psutil
from nats.js import JetStreamContext

from deploy.embedded.ports import free_tcp_port
from deploy.mqtt.acl import GATEWAY_USER, mosquitto
from gateway.mqtt.topics import PROBE
from tests.bench.mqtt_door import AIR, AIR_PASSWORD, METERS, STREAM_BYTES, gateway_of, measure_at
from tests.bench.sections import Progress
from tests.gateway.conftest import until, write_snapshot
from tests.gateway.mqtt.conftest import ENTRIES, accepts, entry, listener_of, make_server

BINARY = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")
SECONDS, QUICK_SECONDS = 10.0, 2.0
RULES = """\
allow_anonymous false
password_file passwords
acl_file acl
persistence true
autosave_on_changes true
autosave_interval 1
max_inflight_messages 512
max_queued_messages 1000000
user root
"""


@dataclass
class Broker:
    """`tests.bench.mqtt_door.Place`. `js`: the stream behind it."""

    port: int
    gateways_port: int
    pid: int
    js: JetStreamContext

    def meter(self, device: str, **options: Any) -> aiomqtt.Client:
        """Not connected yet."""
        chosen: dict[str, Any] = {"identifier": device, "clean_session": True, "timeout": 20} | options
        return aiomqtt.Client("127.0.0.1", self.port, username=device, password=AIR_PASSWORD, **chosen)

    @property
    def settings(self) -> dict[str, str]:
        return {
            "NBWATER_MQTT_URL": f"mqtt://{GATEWAY_USER}:{AIR_PASSWORD}@127.0.0.1:{self.gateways_port}",
            "NBWATER_MQTT_BROKER": "external",
            "NBWATER_MQTT_PROBE_PASSWORD": AIR_PASSWORD,
        }


def measure(progress: Progress, *, quick: bool = False) -> dict[str, Any]:
    """The keys `mqtt_broker.*` of bench.json. Raises RuntimeError where Mosquitto is not installed."""
    if BINARY is None:
        raise RuntimeError("mosquitto (Debian package) is not installed")
    found = asyncio.run(_measure(QUICK_SECONDS if quick else SECONDS))
    progress(f"MQTT, Mosquitto in front: {found}")
    return found


async def _measure(seconds: float) -> dict[str, float]:
    with tempfile.TemporaryDirectory(prefix="nbwater-broker-") as folder:
        server = make_server(Path(folder, "nats"))
        server.start()
        try:
            async with listener_of(server, STREAM_BYTES) as listener, _broker(Path(folder), listener.js) as broker:
                await write_snapshot(listener.js, [*ENTRIES, *map(entry, METERS), entry(AIR)])
                async with gateway_of(server, broker.settings) as gateway:
                    return await measure_at(broker, gateway, seconds)
        finally:
            server.stop()


@asynccontextmanager
async def _broker(folder: Path, js: JetStreamContext) -> AsyncIterator[Broker]:
    ports = free_tcp_port(), free_tcp_port()
    listeners = f"listener {ports[0]} 127.0.0.1\nuse_username_as_clientid true\nlistener {ports[1]} 127.0.0.1\n"
    (folder / "mosquitto.conf").write_text(RULES + listeners)
    (folder / "acl").write_text(mosquitto(GATEWAY_USER))
    passwords = folder / "passwords"
    passwords.touch(mode=0o600)
    passwords.write_text("".join(f"{user}:{AIR_PASSWORD}\n" for user in (GATEWAY_USER, PROBE, AIR, *METERS)))
    await asyncio.to_thread(subprocess.run, ["mosquitto_passwd", "-U", str(passwords)], check=True)
    with _running(folder) as process:
        await until(lambda: accepts(ports[1]))
        yield Broker(*ports, process.pid, js)


@contextmanager
def _running(folder: Path) -> Iterator[psutil.Popen]:
    with psutil.Popen(
        [str(BINARY), "-c", "mosquitto.conf"], cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        env=dict(os.environ),
    ) as process:  # fmt: skip
        try:
            yield process
        finally:
            process.terminate()


if __name__ == "__main__":
    began = time.monotonic()
    measure(print, quick=True)
    print(f"{time.monotonic() - began:.0f} s")
