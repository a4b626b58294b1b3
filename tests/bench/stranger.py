"""1,000 DTLS handshakes a second of a stranger: what meters that report meanwhile notice of it, and what it costs.

Meters with sessions, meters in plain and meters that shake hands anew report at a steady pace, first in peace, then
while one address begins handshakes with a key that nobody has, then while many prefixes do. The flood is a process of
its own: ``python -m tests.bench.stranger flood PORT RATE SECONDS PREFIXES``.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
import tempfile
import time
from array import array
from collections import Counter, deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import nats
import numpy as np
import psutil

from deploy.embedded.nats import USERS, NatsServer
from metering.streams import StreamSizes, ensure
from simulators.coap import Sender
from simulators.dtls import DtlsClient, DtlsMeter, HandshakeError
from simulators.exchange import Fate, Timers
from simulators.latency import summary_ms
from simulators.message import request_tail
from tests.bench.processes import python
from tests.bench.sections import Progress
from tests.gateway.conftest import ENTRIES, IMEI, GatewayProcess, until, write_snapshot
from tests.gateway.dtls.conftest import IDENTITY, KEY, KEYED, MASTER, METER, OTHER, OTHER_IDENTITY, OTHER_KEY

SECONDS, QUICK_SECONDS = 15.0, 3.0
RATE = 1_000.0
SESSIONS = 4
"""What one identity may have at once (docs/doors/dtls.md)."""

REPORTS_PER_S, PLAIN_PER_S, HANDSHAKES_PER_S = 20.0, 20.0, 2.0
PREFIXES = 200
"""Of the flood from everywhere: each within its own share, all of them above what all may."""

WINDOW = 256
"""Handshakes that the stranger has open."""

TIMERS = Timers(ack_timeout_s=2.0)
STREAM_BYTES = 1 << 30
FLOODS = {"peace": 0, "one_address": 1, "many_prefixes": PREFIXES}
COUNTED = ("handshakes_completed", "handshakes_failed", "handshakes_refused", "hello_verify_requests", "udp_dropped")
Report = Callable[[], Awaitable[bool]]


def measure(progress: Progress, *, quick: bool = False) -> dict[str, Any]:
    """The keys `stranger.*` of bench.json."""
    return asyncio.run(_measure(progress, QUICK_SECONDS if quick else SECONDS))


async def _measure(progress: Progress, seconds: float) -> dict[str, Any]:
    found: dict[str, Any] = {"handshakes_per_s": RATE}
    with tempfile.TemporaryDirectory(prefix="nbwater-stranger-") as folder:
        async with _gateway(Path(folder)) as gateway:
            for name, prefixes in FLOODS.items():
                found[name] = await _phase(gateway, seconds, prefixes)
                if begun := found[name]["flood"].get("begun"):
                    more_s = found[name]["gateway_cpu_s"] - found["peace"]["gateway_cpu_s"]
                    found[name]["gateway_us_per_handshake"] = 1e6 * more_s / begun
                progress(f"stranger, {name}: {found[name]}")
    return found


async def _phase(gateway: GatewayProcess, seconds: float, prefixes: int) -> dict[str, Any]:
    """Latencies from the instant a report was due; `lost`: without a 2.04."""
    process, port = psutil.Process(gateway.process.pid), gateway.said["dtls_port"]
    before, cpu_s = await _counted(gateway), sum(process.cpu_times()[:2])
    flood = await _flood(port, seconds, prefixes) if prefixes else None
    honest = await _honest(gateway, seconds)
    told = json.loads((await flood.communicate())[0]) if flood else {}
    counted = {name: value - before[name] for name, value in (await _counted(gateway)).items()}
    spent_s = sum(process.cpu_times()[:2]) - cpu_s
    return {**honest, "gateway_cpu_s": spent_s, **counted, "flood": told}


async def _flood(port: int, seconds: float, prefixes: int) -> asyncio.subprocess.Process:
    command = python("tests.bench.stranger", "flood", str(port), str(RATE), str(seconds), str(prefixes))
    return await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)


async def _counted(gateway: GatewayProcess) -> dict[str, float]:
    return {name: await gateway.metric(f"nbwater_gateway_dtls_{name}") for name in COUNTED}


async def _honest(gateway: GatewayProcess, seconds: float) -> dict[str, Any]:
    port, numbers = gateway.said["dtls_port"], iter(range(time.time_ns() % (1 << 40), 1 << 62))

    def payload() -> bytes:
        return next(numbers).to_bytes(8, "big")

    async def answered(meter: DtlsMeter, device: str = METER) -> bool:
        return (await meter.post(("r", device), 42, payload())).fate is Fate.ANSWERED

    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        plain = await enter(Sender("127.0.0.1", gateway.port, ports=4, timers=TIMERS))
        meters = deque([await enter(DtlsMeter("127.0.0.1", port, IDENTITY, KEY, TIMERS)) for _ in range(SESSIONS - 1)])
        for meter in meters:
            await answered(meter)

        async def by_session() -> bool:
            meter = meters.popleft()
            try:
                return await answered(meter)
            finally:
                meters.append(meter)

        async def in_plain() -> bool:
            tail = request_tail(("r", IMEI), 42, payload())
            return (await plain.post_tail(tail)).fate is Fate.ANSWERED

        async def by_handshake() -> bool:
            async with DtlsMeter("127.0.0.1", port, OTHER_IDENTITY, OTHER_KEY, TIMERS) as meter:
                return await answered(meter, OTHER)

        ways = {
            "dtls": (by_session, REPORTS_PER_S), "plain": (in_plain, PLAIN_PER_S),
            "handshake": (by_handshake, HANDSHAKES_PER_S),
        }  # fmt: skip
        done = await asyncio.gather(*(_paced(report, rate, seconds) for report, rate in ways.values()))
    return {f"{name}_{key}": value for name, figures in zip(ways, done, strict=True) for key, value in figures.items()}


async def _paced(report: Report, rate: float, seconds: float) -> dict[str, Any]:
    """One after the other, each at its instant or as soon as the one before has its answer."""
    latencies_s, lost, began = array("f"), 0, time.monotonic()
    for number in range(round(rate * seconds)):
        due_s = began + number / rate
        await asyncio.sleep(max(0.0, due_s - time.monotonic()))
        try:
            lost += not await report()
        except HandshakeError:
            lost += 1
        latencies_s.append(time.monotonic() - due_s)
    figures = summary_ms(np.array(latencies_s, np.float32))
    return {"p50_ms": figures["p50"], "p99_ms": figures["p99"], "lost": lost}


@asynccontextmanager
async def _gateway(folder: Path) -> AsyncIterator[GatewayProcess]:
    server = NatsServer(folder / "nats", {user: os.urandom(16).hex() for user in USERS})
    server.start()
    try:
        connection = await nats.connect(server.url)
        js = connection.jetstream(timeout=10)
        await ensure(js, StreamSizes(STREAM_BYTES))
        await write_snapshot(js, ENTRIES + KEYED)
        environment = os.environ | {
            "NBWATER_NATS_URL": server.url_for("gateway"), "NBWATER_NATS_MONITOR_URL": server.monitor_url,
            "NBWATER_GATEWAY_PORT": "0", "NBWATER_GATEWAY_METRICS_PORT": "0", "NBWATER_KEYS_MASTER": MASTER,
            "NBWATER_DTLS_SESSIONS_FILE": str(folder / "sessions"),
        }  # fmt: skip
        process = await asyncio.create_subprocess_exec(
            *python("gateway"), env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
        )
        assert process.stdout is not None
        line = json.loads(await process.stdout.readline())
        gateway = GatewayProcess(process, line["port"], line["metrics_port"], line)
        try:
            await until(gateway.is_ready)
            yield gateway
        finally:
            await gateway.stop()
            await connection.close()
    finally:
        server.stop()


class Stranger:
    """Handshakes with a wrong key from `prefixes` addresses of 127.0.0.0/8, each its own /24."""

    def __init__(self, port: int, prefixes: int) -> None:
        self._to, self._places = ("127.0.0.1", port), [f"127.{1 + n // 250}.{n % 250}.9" for n in range(prefixes)]
        self._room = asyncio.Semaphore(WINDOW)
        self.counts: Counter[str] = Counter()

    async def run(self, rate: float, seconds: float) -> None:
        began = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for number in range(round(rate * seconds)):
                if (left_s := began + number / rate - time.monotonic()) > 0:
                    await asyncio.sleep(left_s)
                await self._room.acquire()
                group.create_task(self._shake(self._places[number % len(self._places)]))
        self.counts["seconds"] = round(time.monotonic() - began)

    async def _shake(self, place: str) -> None:
        """Until the server says no, or nothing."""
        loop, client = asyncio.get_running_loop(), DtlsClient("urn:imei:861000000000009", b"a wrong key here")
        self.counts["begun"] += 1
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as bound:
            bound.setblocking(False)
            try:
                bound.bind((place, 0))
                client.proceed()
                while True:
                    for datagram in client.outgoing:
                        bound.sendto(datagram, self._to)
                    client.outgoing.clear()
                    async with asyncio.timeout(0.2):
                        client.receive(await loop.sock_recv(bound, 4096))
                    self.counts["answers"] += 1
            except TimeoutError:
                self.counts["silence"] += 1
            except (HandshakeError, OSError):
                self.counts["refused"] += 1
            finally:
                self._room.release()


async def _be_stranger(port: int, rate: float, seconds: float, prefixes: int) -> None:
    stranger = Stranger(port, prefixes)
    await stranger.run(rate, seconds)
    print(json.dumps(stranger.counts))


if __name__ == "__main__":
    asyncio.run(_be_stranger(int(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4]), int(sys.argv[5])))
