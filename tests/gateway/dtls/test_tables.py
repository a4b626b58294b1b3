"""The tables of sessions and handshakes, and whose key an identity names."""

from __future__ import annotations

from gateway.devices import Devices
from gateway.dtls.engine import State
from gateway.dtls.handshakes import HandshakeLimits, Handshakes
from gateway.dtls.identities import Identities
from gateway.dtls.session import Session, SessionState, Speaker
from gateway.dtls.sessions import MAX_SESSIONS_PER_IDENTITY, Sessions
from metering.credentials import MasterKeys
from tests.gateway.dtls.conftest import IDENTITY, KEY, METER, OTHER_KEY, entry

HOST = "10.0.0.1"


def session(identity: str) -> Session:
    return Session(Speaker("device", identity, b"mark"), SessionState(0xC0A8, bytes(40), 1))


def peer(port: int) -> tuple[str, int]:
    return HOST, port


def test_the_least_recently_used_session_goes_first() -> None:
    sessions = Sessions(3, idle_timeout_s=100)
    for port in range(3):
        sessions.add(peer(port), session(str(port)), now=port)
    first = sessions.get(peer(0))
    assert first is not None
    sessions.used(peer(0), first, now=3)
    sessions.add(peer(3), session("3"), now=4)
    assert [port for port in range(4) if peer(port) in sessions] == [0, 2, 3]
    sessions.expire(now=102)
    assert [port for port in range(4) if peer(port) in sessions] == [0, 3]
    assert (sessions.displaced, sessions.expired, len(sessions)) == (1, 1, 2)


def test_an_identity_has_few_sessions_and_an_address_one() -> None:
    sessions = Sessions(100, idle_timeout_s=100)
    sessions.add(peer(99), session("other"), now=0)
    for port in range(10):
        sessions.add(peer(port), session("mine"), now=port)
    assert [port for port in range(10) if peer(port) in sessions] == list(range(10))[-MAX_SESSIONS_PER_IDENTITY:]
    sessions.add(peer(9), session("other"), now=10)
    assert len(sessions) == MAX_SESSIONS_PER_IDENTITY + 1
    assert peer(99) in sessions


def test_changes_are_given_out_once() -> None:
    sessions = Sessions(100, idle_timeout_s=100)
    sessions.add(peer(0), session("0"), now=0)
    sessions.note_changes()
    for port in (1, 2, 3):
        sessions.add(peer(port), session(str(port)), now=0)
    sessions.remove(peer(1))
    assert sessions.unwritten == 3
    assert sessions.changed(2) == [peer(1), peer(2)]
    assert sessions.changed(2) == [peer(3)]
    assert sessions.changed(2) == []


class Silent:
    """A handshake that gets nowhere."""

    state, identity, host = State.OPEN, None, HOST

    def begin(self) -> bytes:
        return b""

    def receive(self, datagram: bytes) -> bytes:
        return datagram[:0]

    def tick(self) -> bytes:
        return b""

    def session(self) -> None:
        return None


def test_a_full_table_of_handshakes_takes_from_the_prefix_that_has_most() -> None:
    handshakes = Handshakes(HandshakeLimits(4, 1e6, 1e6))
    flood, quiet = 0xFFFF_0A00_0001, 0xFFFF_0A00_0101
    handshakes.add(peer(0), Silent(), b"", quiet, 0)
    for port in range(1, 6):
        handshakes.add(peer(port), Silent(), b"", flood, 0)
    assert [port for port in range(6) if handshakes.get(peer(port))] == [0, 3, 4, 5]
    handshakes.add(peer(5), Silent(), b"", flood, 0)  # its own place
    assert (len(handshakes), handshakes.displaced) == (4, 2)


def test_identities() -> None:
    devices, keys = Devices(), MasterKeys({0: bytes.fromhex("5a" * 32)})
    identities = Identities(devices, keys)
    assert identities.key_of(IDENTITY, HOST) is None
    devices.apply(entry(METER, {IDENTITY: KEY}))
    devices.apply(entry("861000000000003", {"a": KEY, "b": OTHER_KEY}))
    devices.ready = True
    psk = identities.key_of(IDENTITY, HOST)
    assert psk is not None
    assert (psk.key, psk.speaker.device, psk.speaker.identity) == (KEY, METER, IDENTITY)
    assert identities.stands(psk.speaker)
    assert identities.key_of("x" * 200, HOST) is None
    assert Identities(devices, MasterKeys({1: bytes(32)})).key_of(IDENTITY, HOST) is None  # no such master key


def test_a_failure_changes_the_key_for_its_own_host_only() -> None:
    devices = Devices()
    devices.apply(entry(METER, {"a": KEY, "b": OTHER_KEY}))
    devices.ready = True
    identities = Identities(devices, MasterKeys({0: bytes.fromhex("5a" * 32)}))
    asked = [identities.key_of(METER, host) for host in (HOST, "10.0.0.2")]
    identities.failed(METER, HOST, 0.0)
    asked += [identities.key_of(METER, host) for host in (HOST, "10.0.0.2")]
    assert [psk and psk.key for psk in asked] == [OTHER_KEY, OTHER_KEY, KEY, OTHER_KEY]
    identities.failed("nobody", HOST, 0.0)
    assert identities.key_of("a", HOST) is not None
