"""The tables of sessions and handshakes, and whose key an identity names."""

from __future__ import annotations

import pytest

from gateway.devices import Devices
from gateway.dtls import handshakes as handshakes_module
from gateway.dtls.engine import State
from gateway.dtls.handshakes import HandshakeLimits, Handshakes
from gateway.dtls.identities import Identities
from gateway.dtls.session import Session, SessionState, Speaker
from gateway.dtls.sessions import MAX_SESSIONS_PER_IDENTITY, Sessions
from gateway.refusals import prefix_of
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


def test_prefixes_that_completed_a_handshake_have_a_reserve_and_keep_their_place() -> None:
    handshakes = Handshakes(HandshakeLimits(4, 8, 4))  # two seconds' worth at once: 12 for all, 4 in reserve
    meter, strangers = 0xFFFF_0A00_0001, [0xFFFF_0B00_0001 + (n << 8) for n in range(100)]
    handshakes.learn(prefix_of(meter))
    assert sum(handshakes.may_begin(stranger, 0) for stranger in strangers) == 12
    assert not handshakes.could_begin(strangers[0], 0)
    for _ in range(4):
        assert handshakes.could_begin(meter, 0)
        assert handshakes.may_begin(meter, 0)
    assert not handshakes.could_begin(meter, 0)
    assert not handshakes.may_begin(meter, 0)
    handshakes.add(peer(0), Silent(), b"", meter, 0)
    handshakes.add(peer(1), Silent(), b"", meter, 0)
    for port, stranger in enumerate(strangers, 2):
        handshakes.add(peer(port), Silent(), b"", stranger, 0)
    assert [port for port in range(102) if handshakes.get(peer(port))] == [0, 1, 100, 101]


def test_known_prefixes_are_bounded_and_the_oldest_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handshakes_module, "MAX_KNOWN_PREFIXES", 2)
    handshakes = Handshakes(HandshakeLimits(4, 1, 1e6))
    one, two, three = (prefix_of(0xFFFF_0A00_0000 + (n << 8)) for n in range(3))
    for prefix in (one, two, one, three):
        handshakes.learn(prefix)
    assert handshakes.known_prefixes == 2
    assert handshakes.may_begin(0xFFFF_0C00_0000, 0)
    assert not handshakes.could_begin(0xFFFF_0A00_0100, 0)  # two is forgotten
    assert handshakes.may_begin(0xFFFF_0A00_0000, 0)  # one was seen since


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
