"""The LwM2M server in this process, on a real key-value store; custody and commands are the test's."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import cbor2
import pytest
from prometheus_client import CollectorRegistry

from deploy.embedded.nats import NatsServer
from gateway.coap.aiocoap_lane import AiocoapLane
from gateway.coap.fast_lane import FastLane, Limits
from gateway.coap.lanes import Conversations
from gateway.coap.lwm2m.lane import Lwm2mLane
from gateway.coap.lwm2m.means import Means
from gateway.coap.lwm2m.oscore import Lwm2mBehindOscore, ProtectedClients, ProtectedOnPort
from gateway.coap.lwm2m.resources import resources
from gateway.coap.lwm2m.store import RegistrationStore
from gateway.coap.lwm2m.udp import Lwm2mOnUdp
from gateway.coap.oscore.contexts import Contexts
from gateway.coap.oscore.key_ring import KeyRing
from gateway.coap.oscore.numbers import SenderNumbers
from gateway.coap.oscore.windows import Windows
from gateway.coap.port import bind
from gateway.coap.protected_lane import ProtectedLane
from gateway.coap.remote import UdpRemote, Vouched
from gateway.custody import Settle
from gateway.devices import Devices
from gateway.firmware import Images
from gateway.intake import Intake
from gateway.link import StreamLink
from gateway.metrics import Counters
from gateway.refusals import RefusalLimiter
from metering.commands import WaitingCommand
from metering.credentials import CredentialKind, MasterKeys, OscoreSecret
from metering.errors import CustodyError
from metering.model import Authentication, Door
from metering.registry import ENABLED, HAS_KEY, RegistryEntry
from metering.settings import Lwm2mSettings
from simulators.lwm2m import Lwm2mMeter
from simulators.lwm2m_client import Client

DEVICE = "861234567890123"
KEYED = "861234567890125"
KEYS = MasterKeys({0: bytes(range(32))})
PSK = bytes(range(16))
SECRET = OscoreSecret(b"master secret 16", b"salt", None, b"\x01")


class FiledCommands:
    """What waits, and what the door told of it."""

    def __init__(self) -> None:
        self.filed: list[WaitingCommand] = []
        self.told: list[tuple[Any, ...]] = []
        self._listeners: list[Callable[[str], None]] = []

    def file(self, command: WaitingCommand, device: str = DEVICE) -> None:
        self.filed.append(command)
        for listener in self._listeners:
            listener(device)

    def waiting(self, device: str, authentication: Authentication) -> Sequence[WaitingCommand]:
        return [command for command in self.filed if command.may_go_to(authentication)]

    def handed_over(self, device: str, command: WaitingCommand, door: Door) -> None:
        self.told.append(("handed over", command.command_id))

    def ended(self, device: str, command_id: bytes, result: int, reason: str, door: Door) -> None:
        self.told.append(("ended", command_id, result, reason))
        self.filed = [command for command in self.filed if command.command_id != command_id]

    def on_new(self, listener: Callable[[str], None]) -> None:
        self._listeners.append(listener)


class OpenCustody:
    def __init__(self) -> None:
        self.failure: CustodyError | None = None
        self.reports: list[tuple[str, int, bytes]] = []

    def take(
        self, door: Door, authentication: Authentication, device: str, content_format: int, payload: bytes,
        source: str, settle: Settle,
    ) -> None:  # fmt: skip
        if self.failure is None:
            self.reports.append((device, content_format, payload))
        settle(self.failure)

    def items(self) -> list[list[Any]]:
        return [item for _, content_format, payload in self.reports for item in cbor2.loads(payload)]


class KeyedRemote(UdpRemote):
    """As a door with authentication makes them."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.vouched = Vouched(KEYED, Authentication.DTLS)


class KeyedUdp(Lwm2mOnUdp):
    def _remote(self, peer: tuple[Any, ...]) -> UdpRemote:
        plain = super()._remote(peer)
        return KeyedRemote(plain.peer, plain.address, plain.shown.rpartition(":")[0], self._send)


class Desk:
    """`wall_s` is added to the clock on the wall. `windows` of an earlier desk: as if its journal had been read."""

    def __init__(
        self, link: StreamLink, vouched: bool, images: Path | None, windows: Windows | None, lease: int,
        **settings: object,
    ) -> None:  # fmt: skip
        devices = Devices()
        devices.ready = devices.complete = True
        sealed = (KEYS.seal(CredentialKind.PSK, b"id", PSK), KEYS.seal(CredentialKind.OSCORE, b"\x05", SECRET.encode()))
        for entry in (
            RegistryEntry(DEVICE, (DEVICE,), ("127.0.0.0/8", "::1/128"), ENABLED, (), "Maker M1"),
            RegistryEntry(KEYED, (KEYED,), ("127.0.0.0/8",), ENABLED | HAS_KEY, sealed, "Maker M1"),
        ):
            devices.apply(entry)
        self.wall_s = 0.0
        self.custody, self.commands = OpenCustody(), FiledCommands()
        self.counters = Counters(CollectorRegistry())
        self.socket = bind("127.0.0.1", 0)
        self.port: int = self.socket.getsockname()[1]
        intake = Intake(devices, self.custody)
        self.store = RegistrationStore(link)
        means = Means(
            Lwm2mSettings.model_validate({"ack_timeout_s": 2.0, **settings}), intake, devices, self.commands,
            self.store, self.counters, KEYS, time.monotonic, lambda: time.time() + self.wall_s,
            None if images is None else Images(images),
        )  # fmt: skip
        self.lane = Lwm2mLane(means, 30, 1)
        self.fast = FastLane(self.socket, intake, RefusalLimiter(1000), self.counters, Limits(1024, 30), time.monotonic)
        self.slow = AiocoapLane(intake, 30, self.fast.send, resources=resources(self.lane.server.requests, 30))
        self.talks: Conversations = (KeyedUdp if vouched else Lwm2mOnUdp)(self.lane, self.slow, self.fast.send, None)
        self.numbers = SenderNumbers()
        self.numbers.add(lease)
        contexts = Contexts(KeyRing(devices, KEYS), Windows() if windows is None else windows, self.numbers, None, True)
        self.protected = ProtectedLane(contexts, devices, intake, self.counters, 1024, 30, time.monotonic)
        self.clients = ProtectedClients(
            contexts, self.lane, self.talks, self.fast.send, None, self.protected.want_numbers
        )  # fmt: skip
        self.behind = Lwm2mBehindOscore(self.clients, self.lane, self.slow)
        self.talks = ProtectedOnPort(self.clients, self.talks)


OpenDesk = Callable[..., Awaitable[Desk]]
OpenMeter = Callable[[int, Client], Awaitable[Lwm2mMeter]]


@pytest.fixture
async def open_desk(nats_server: NatsServer, nats_url: str) -> AsyncIterator[OpenDesk]:
    link = StreamLink()
    await link.connect(nats_server.url_for("gateway"))
    made: list[Desk] = []

    async def make(
        vouched: bool = False, images: Path | None = None, windows: Windows | None = None, lease: int = 1,
        **settings: object,
    ) -> Desk:  # fmt: skip
        desk = Desk(link, vouched, images, windows, lease, **settings)
        await desk.slow.start()
        desk.protected.start(desk.fast, desk.behind)
        desk.fast.start(desk.slow, desk.protected, desk.talks)
        made.append(desk)
        return desk

    yield make
    for desk in made:
        desk.fast.stop_reading()
        await desk.lane.stop()
        await desk.slow.stop()
        desk.socket.close()
    await link.close()


@pytest.fixture
async def open_meter() -> AsyncIterator[OpenMeter]:
    async with AsyncExitStack() as stack:

        async def make(port: int, client: Client) -> Lwm2mMeter:
            return await stack.enter_async_context(Lwm2mMeter("127.0.0.1", port, client, ack_timeout_s=3))

        yield make
