"""Meters with pre-shared keys, a gateway that knows them, and an endpoint without sockets."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from nats.js import JetStreamContext

from gateway.devices import Devices
from gateway.dtls.endpoint import Endpoint
from gateway.dtls.engine import MbedTlsEngine
from gateway.dtls.handshakes import HandshakeLimits, Handshakes
from gateway.dtls.identities import Identities
from gateway.dtls.session import Speaker
from gateway.dtls.sessions import Sessions
from metering.credentials import CredentialKind, MasterKeys
from metering.registry import ENABLED, HAS_KEY, RegistryEntry
from simulators.dtls import SUITE, DtlsClient
from tests.gateway.conftest import ENTRIES, GatewayProcess, StartGateway, write_snapshot

MASTER = "5a" * 32
MASTER_KEYS = MasterKeys({0: bytes.fromhex(MASTER)})
METER, OTHER = "861000000000001", "861000000000002"
IDENTITY, KEY = f"urn:imei:{METER}", b"0123456789abcdef"
OTHER_IDENTITY, OTHER_KEY = "meter two", b"fedcba9876543210"
FRAME = bytes.fromhex("681002390745404358811d1f90a702390745404350172309010220a6090000024836090015000000db16")
PEER = ("127.0.0.1", 40_001)
ADDRESS = 0xFFFF_7F00_0001


def entry(device: str, keys: dict[str, bytes], flags: int = ENABLED | HAS_KEY) -> RegistryEntry:
    credentials = tuple(MASTER_KEYS.seal(CredentialKind.PSK, name.encode(), key) for name, key in keys.items())
    return RegistryEntry(device, (device,), (), flags, credentials)


KEYED = [entry(METER, {IDENTITY: KEY}), entry(OTHER, {OTHER_IDENTITY: OTHER_KEY})]
StartDtls = Callable[..., Awaitable[GatewayProcess]]


@pytest.fixture
async def start_dtls(
    js: JetStreamContext, start_gateway: StartGateway, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> StartDtls:
    """A gateway with its DTLS port open; keyword arguments are settings of the section `dtls`."""
    monkeypatch.setenv("NBWATER_KEYS_MASTER", MASTER)
    monkeypatch.setenv("NBWATER_DTLS_SESSIONS_FILE", str(tmp_path / "sessions"))
    await write_snapshot(js, ENTRIES + KEYED)

    async def start(**settings: object) -> GatewayProcess:
        for name, value in settings.items():
            monkeypatch.setenv(f"NBWATER_DTLS_{name.upper()}", str(value))
        return await start_gateway()

    return start


@dataclass
class Bench:
    """An endpoint, what it sent, by peer, and what it delivered."""

    devices: Devices = field(default_factory=Devices)
    limits: HandshakeLimits = field(default_factory=lambda: HandshakeLimits(64, 1e6, 1e6))
    max_sessions: int = 1000
    now: float = 0.0
    sent: dict[tuple[Any, ...], list[bytes]] = field(default_factory=dict)
    delivered: list[tuple[bytes, tuple[Any, ...], Speaker]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.identities = Identities(self.devices, MASTER_KEYS)
        self.handshakes = Handshakes(self.limits)
        self.sessions = Sessions(self.max_sessions, idle_timeout_s=3600)
        self.endpoint = Endpoint(
            MbedTlsEngine(self.identities.key_of), self.handshakes, self.sessions, self.identities,
            lambda datagram, peer: self.sent.setdefault(peer, []).append(datagram),
            lambda message, peer, speaker: self.delivered.append((message, peer, speaker)),
        )  # fmt: skip

    def give(self, datagram: bytes, peer: tuple[Any, ...] = PEER, address: int = ADDRESS) -> None:
        self.endpoint.receive(datagram, peer, address, self.now)

    def taken(self, peer: tuple[Any, ...] = PEER) -> list[bytes]:
        return self.sent.pop(peer, [])

    def turn(self, client: DtlsClient, peer: tuple[Any, ...] = PEER, address: int = ADDRESS) -> list[bytes]:
        """Carry what both have to say; the plaintexts that the client got."""
        plaintexts = []
        while client.outgoing or peer in self.sent:
            outgoing, client.outgoing = client.outgoing, []
            for datagram in outgoing:
                self.give(datagram, peer, address)
            plaintexts += [client.receive(datagram) for datagram in self.taken(peer)]
        return [plaintext for plaintext in plaintexts if plaintext]

    def session(
        self,
        peer: tuple[Any, ...] = PEER,
        identity: str = IDENTITY,
        key: bytes = KEY,
        address: int = ADDRESS,
        suite: str = SUITE,
    ) -> DtlsClient:
        """A client with a session."""
        client = DtlsClient(identity, key, (suite,))
        client.proceed()
        self.turn(client, peer, address)
        assert client.is_open
        return client


@pytest.fixture
def bench() -> Bench:
    made = Bench()
    for known in KEYED:
        made.devices.apply(known)
    made.devices.ready = made.devices.complete = True
    return made
