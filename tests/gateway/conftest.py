"""A registry in NATS, a gateway process on a free port, and a raw CoAP sender."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from nats.js import JetStreamContext
from nats.js.api import ObjectMeta

from deploy.embedded.nats import NatsServer
from metering.envelope import Report, decode
from metering.registry import (
    ENABLED,
    FEED_CREATED_HEADER,
    FEED_POSITION_HEADER,
    HAS_KEY,
    SNAPSHOT_OBJECT,
    WAS_PUSHED,
    RegistryEntry,
    encode_entries,
)
from metering.streams import REGISTRY_STREAM, SNAPSHOT_BUCKET, UP_STREAM

LOOPBACK = ("127.0.0.0/8", "::1/128")
IMEI = "861234567890123"
SERIAL = "44403907450243"
ENTRIES = [
    RegistryEntry(IMEI, (IMEI, SERIAL), LOOPBACK, ENABLED | WAS_PUSHED, pushers=("east",)),
    RegistryEntry("861234567890124", ("861234567890124",), LOOPBACK, ENABLED | WAS_PUSHED, pushers=("east",)),
    RegistryEntry("keyed", ("keyed",), LOOPBACK, ENABLED | HAS_KEY),
    RegistryEntry("elsewhere", ("elsewhere",), ("10.9.0.0/16",), ENABLED),
    RegistryEntry("closed", ("closed",), (), ENABLED),
]


async def write_snapshot(js: JetStreamContext, entries: Iterable[RegistryEntry]) -> None:
    """As ingest does: the feed position is read before the content."""
    feed = await js.stream_info(REGISTRY_STREAM)
    objects = await js.object_store(SNAPSHOT_BUCKET)
    meta = ObjectMeta(
        name=SNAPSHOT_OBJECT,
        headers={FEED_POSITION_HEADER: str(feed.state.last_seq), FEED_CREATED_HEADER: str(feed.created)},
    )
    await objects.put(SNAPSHOT_OBJECT, encode_entries(entries), meta)


async def stored(js: JetStreamContext) -> list[Report]:
    """Every report in the stream, in order."""
    state = (await js.stream_info(UP_STREAM)).state
    if not state.messages:
        return []
    messages = [await js.get_msg(UP_STREAM, sequence) for sequence in range(state.first_seq, state.last_seq + 1)]
    return [report for message in messages for report in decode(message.data or b"").reports]


async def until(condition: Callable[[], Awaitable[Any]], timeout_s: float = 60) -> Any:
    """The first true value of the condition."""
    deadline = asyncio.get_running_loop().time() + timeout_s
    while asyncio.get_running_loop().time() < deadline:
        value = await condition()
        if value:
            return value
        await asyncio.sleep(0.02)
    raise AssertionError(f"not within {timeout_s} s: {condition}")


@dataclass
class GatewayProcess:
    process: asyncio.subprocess.Process
    port: int
    metrics_port: int
    said: dict[str, Any] = field(default_factory=dict)

    async def http(self, path: str) -> tuple[int, str]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.metrics_port)
        writer.write(f"GET {path} HTTP/1.1\r\n\r\n".encode())
        answer = (await reader.read()).decode()
        writer.close()
        return int(answer.split(" ", 2)[1]), answer.partition("\r\n\r\n")[2]

    async def is_ready(self) -> bool:
        return (await self.http("/readyz"))[0] == 200

    async def metric(self, name: str) -> float:
        """The value of `name{labels}` as the text format has it; 0 when it is not there."""
        for line in (await self.http("/metrics"))[1].splitlines():
            if line.startswith(name + " "):
                return float(line.rsplit(" ", 1)[1])
        return 0.0

    async def stop(self) -> int:
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGTERM)
        return await asyncio.wait_for(self.process.wait(), 60)


StartGateway = Callable[..., Awaitable[GatewayProcess]]


@pytest.fixture
async def start_gateway(nats_server: NatsServer, nats_url: str) -> AsyncIterator[StartGateway]:
    """Starts `python -m gateway` with the rights of the gateway's own NATS user."""
    started: list[asyncio.subprocess.Process] = []

    async def start(
        ready: bool = True, nats: NatsServer = nats_server, environment: Mapping[str, str] = {}, **settings: object
    ) -> GatewayProcess:
        environment = {
            **os.environ,
            "NBWATER_NATS_URL": nats.url_for("gateway"),
            "NBWATER_NATS_MONITOR_URL": nats.monitor_url,
            "NBWATER_GATEWAY_PORT": "0",
            "NBWATER_GATEWAY_METRICS_PORT": "0",
            "NBWATER_GATEWAY_REFUSALS_PER_SECOND": "1000",
            **{f"NBWATER_GATEWAY_{name.upper()}": str(value) for name, value in settings.items()},
            **environment,
        }
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "gateway", env=environment, stdout=asyncio.subprocess.PIPE
        )
        started.append(process)
        line = json.loads(await asyncio.wait_for(process.stdout.readline(), 90))
        gateway = GatewayProcess(process, line["port"], line["metrics_port"], line)
        if ready:
            await until(gateway.is_ready)
        return gateway

    yield start
    for process in started:
        if process.returncode is None:
            process.kill()
            await process.wait()


@pytest.fixture
async def gateway(js: JetStreamContext, start_gateway: StartGateway) -> GatewayProcess:
    """A gateway that knows ENTRIES."""
    await write_snapshot(js, ENTRIES)
    return await start_gateway()


@dataclass
class Inbox(asyncio.DatagramProtocol):
    received: asyncio.Queue[bytes] = field(default_factory=asyncio.Queue)

    def datagram_received(self, data: bytes, addr: object) -> None:
        self.received.put_nowait(data)


class Sender:
    """One UDP source port."""

    def __init__(self, transport: asyncio.DatagramTransport, inbox: Inbox) -> None:
        self._transport, self._inbox = transport, inbox

    def send(self, datagram: bytes) -> None:
        self._transport.sendto(datagram)

    async def receive(self, timeout_s: float = 30) -> bytes:
        return await asyncio.wait_for(self._inbox.received.get(), timeout_s)

    async def ask(self, datagram: bytes) -> bytes:
        self.send(datagram)
        return await self.receive()

    def pending(self) -> int:
        return self._inbox.received.qsize()


OpenSender = Callable[..., Awaitable[Sender]]


@pytest.fixture
async def open_sender() -> AsyncIterator[OpenSender]:
    transports = []

    async def make(port: int, host: str = "127.0.0.1") -> Sender:
        loop = asyncio.get_running_loop()
        transport, inbox = await loop.create_datagram_endpoint(Inbox, remote_addr=(host, port))
        transports.append(transport)
        return Sender(transport, inbox)

    yield make
    for transport in transports:
        transport.close()
