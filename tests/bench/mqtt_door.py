"""The MQTT door at nats-server's listener: ``python -m tests.bench.mqtt_door [seconds]`` prints one line of JSON.

Publishes a second that are acknowledged to meters, and that reach custody; memory of one idle session in nats-server;
bytes of a daily report on air, as TCP payload, counted by a relay between meter and listener.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

import aiomqtt
import psutil
from nats.js import JetStreamContext

from deploy.embedded.nats import NatsServer
from gateway.mqtt.topics import down, up
from metering.streams import UP_STREAM
from tests.bench.sections import Progress
from tests.gateway.conftest import GatewayProcess, until, write_snapshot
from tests.gateway.mqtt.conftest import Listener, entry, is_open, listener_of, make_server

DAILY = bytes.fromhex(
    "ac0001011912670281841a6955b900190e101a0001e240970c00000003182d1850160a050007181e0c0400091829183c1821120602030304190e"
    "1c0539043e06182d07010818b609000a000b1a69570a7f"
)
"""PROTOCOLS G."""
PUBLISHERS, SESSIONS = 50, 500
STREAM_BYTES = 1 << 30
AIR, AIR_PASSWORD = "861234567890123", "0" * 32
METERS = tuple(f"86{n:013d}" for n in range(SESSIONS))


class Place(Protocol):
    """Where meters log in; `pid`: of its process."""

    @property
    def port(self) -> int: ...

    @property
    def pid(self) -> int: ...

    @property
    def js(self) -> JetStreamContext: ...

    def meter(self, device: str, **options: Any) -> aiomqtt.Client: ...


class Own:
    """nats-server's listener, as a place."""

    def __init__(self, listener: Listener) -> None:
        assert listener.server.process is not None
        self.port, self.pid, self.js = listener.port, listener.server.process.pid, listener.js
        self.meter = listener.meter


def measure(progress: Progress, *, quick: bool = False) -> dict[str, Any]:
    """The keys `mqtt.*` of bench.json."""
    found = asyncio.run(_measure(2.0 if quick else 10.0))
    progress(f"MQTT, nats-server's listener: {found}")
    return found


async def measure_at(place: Place, gateway: GatewayProcess, seconds: float) -> dict[str, float]:
    found = await air(place)
    found |= await memory(place, is_kept=False)
    found |= await memory(place, is_kept=True)
    found |= await rate(place, gateway, seconds)
    return found


async def rate(listener: Place, gateway: GatewayProcess, seconds: float) -> dict[str, float]:
    counted: Counter[str] = Counter()
    before = await gateway.metric("nbwater_gateway_mqtt_acknowledged")
    spent = psutil.Process(gateway.process.pid)
    cpu_s = sum(spent.cpu_times()[:2])
    end = time.monotonic() + seconds

    async def publish(device: str) -> None:
        async with listener.meter(device) as meter:
            while time.monotonic() < end:
                counted["acknowledged"] += 1
                await meter.publish(up(device), os.urandom(16) + DAILY[16:], qos=1)

    await asyncio.gather(*(publish(device) for device in METERS[:PUBLISHERS]))
    stored = await gateway.metric("nbwater_gateway_mqtt_acknowledged") - before
    await until(lambda: _drained(gateway, before + counted["acknowledged"]))
    assert (await listener.js.stream_info(UP_STREAM)).state.messages
    return {
        "publishes_per_s": round(counted["acknowledged"] / seconds), "in_custody_per_s": round(stored / seconds),
        "gateway_us": round(1e6 * (sum(spent.cpu_times()[:2]) - cpu_s) / counted["acknowledged"]),
    }  # fmt: skip


async def _drained(gateway: GatewayProcess, wanted: float) -> bool:
    return await gateway.metric("nbwater_gateway_mqtt_acknowledged") >= wanted


async def memory(listener: Place, is_kept: bool) -> dict[str, float]:
    """Of sessions that listen on their topic, while they are connected. `is_kept`: `clean session` 0."""
    process = psutil.Process(listener.pid)
    before = process.memory_info().rss
    started = time.monotonic()
    meters = [listener.meter(device, clean_session=not is_kept) for device in METERS]
    for meter, device in zip(meters, METERS, strict=True):
        await meter.__aenter__()
        await meter.subscribe(down(device), qos=1)
    logins_s = time.monotonic() - started
    connected = process.memory_info().rss
    for meter in meters:
        await meter.__aexit__(None, None, None)
    kind = "kept" if is_kept else "clean"
    return {
        f"{kind}_session_bytes": round((connected - before) / SESSIONS),
        f"{kind}_logins_with_subscription_per_s": round(SESSIONS / logins_s),
    }


async def air(listener: Place) -> dict[str, float]:
    """A meter that wakes: connect, listen, publish, leave."""
    counted: Counter[str] = Counter()

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", listener.port)
        await asyncio.gather(
            _copy(reader, inner_writer, lambda n: counted.update(up=n)),
            _copy(inner_reader, writer, lambda n: counted.update(down=n)),
        )

    server = await asyncio.start_server(relay, "127.0.0.1", 0)
    port, device = server.sockets[0].getsockname()[1], AIR
    steps: dict[str, int] = {}
    login = aiomqtt.Client("127.0.0.1", port, username=device, password=AIR_PASSWORD, identifier=device)
    async with login as meter:
        steps["login"] = counted.total()
        await meter.subscribe(down(device), qos=1)
        steps["subscribe"] = counted.total()
        await meter.publish(up(device), DAILY, qos=1)
        steps["report"] = counted.total()
    await asyncio.sleep(0.2)
    server.close()
    return {
        "air_login_bytes": steps["login"],
        "air_subscribe_bytes": steps["subscribe"] - steps["login"],
        "air_report_bytes": steps["report"] - steps["subscribe"],
        "air_up_bytes": counted["up"],
        "air_down_bytes": counted["down"],
        "payload_bytes": len(DAILY),
    }


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, count: Callable[[int], None]) -> None:
    while data := await reader.read(4096):
        count(len(data))
        writer.write(data)
    writer.close()


@asynccontextmanager
async def gateway_of(server: NatsServer, settings: Mapping[str, str]) -> AsyncIterator[GatewayProcess]:
    """A gateway process whose MQTT door is open."""
    environment = os.environ | settings | {
        "NBWATER_NATS_URL": server.url_for("gateway"), "NBWATER_NATS_MONITOR_URL": server.monitor_url,
        "NBWATER_GATEWAY_PORT": "0", "NBWATER_GATEWAY_METRICS_PORT": "0",
    }  # fmt: skip
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gateway", env=environment, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        line = json.loads(await process.stdout.readline())
        gateway = GatewayProcess(process, line["port"], line["metrics_port"])
        await until(lambda: is_open(gateway))
        await until(gateway.is_ready)
        yield gateway
        await gateway.stop()
    finally:
        if process.returncode is None:
            process.kill()


async def _measure(seconds: float) -> dict[str, float]:
    folder = Path(tempfile.mkdtemp(prefix="nbwater-mqtt-bench-"))
    server: NatsServer = make_server(folder)
    server.start()
    try:
        async with listener_of(server, STREAM_BYTES, STREAM_BYTES) as listener:
            await write_snapshot(listener.js, [*map(entry, METERS), entry(AIR, AIR_PASSWORD)])
            async with gateway_of(server, listener.settings) as gateway:
                return await measure_at(Own(listener), gateway, seconds)
    finally:
        server.stop()
        shutil.rmtree(folder)


if __name__ == "__main__":
    print(json.dumps(asyncio.run(_measure(float(sys.argv[1]) if len(sys.argv) > 1 else 10.0))))
