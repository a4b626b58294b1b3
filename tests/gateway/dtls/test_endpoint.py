"""The port without its socket, spoken to by Mbed TLS's client."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.dtls.handshakes import HANDSHAKE_LIFETIME_S, HandshakeLimits
from gateway.dtls.key_schedule import SUITES
from gateway.dtls.records import ALERT, read_records
from gateway.dtls.sessions import MAX_SESSIONS_PER_IDENTITY
from simulators.dtls import DtlsClient, HandshakeError
from tests.gateway.dtls.conftest import (
    ADDRESS,
    IDENTITY,
    KEY,
    KEYED,
    METER,
    OTHER,
    OTHER_IDENTITY,
    OTHER_KEY,
    PEER,
    Bench,
    entry,
)

ELSEWHERE = ("127.0.0.1", 40_002)


def says(bench: Bench, client: DtlsClient, text: bytes, peer: tuple[str, int] = PEER) -> list[bytes]:
    client.send(text)
    return bench.turn(client, peer)


@pytest.mark.parametrize("suite", [suite.name for suite in SUITES.values()])
def test_a_session_in_every_suite(bench: Bench, suite: str) -> None:
    client = bench.session(suite=suite)
    says(bench, client, b"request")
    ((message, peer, speaker),) = bench.delivered
    assert (message, peer, speaker.device, speaker.identity) == (b"request", PEER, METER, IDENTITY)
    bench.endpoint.send(b"answer", PEER, METER)
    assert bench.turn(client) == [b"answer"]


def test_an_answer_goes_to_no_other_device(bench: Bench) -> None:
    bench.session()
    bench.endpoint.send(b"answer", PEER, OTHER)
    bench.endpoint.send(b"answer", ELSEWHERE, METER)
    assert bench.sent == {}
    assert bench.endpoint.ignored["no_session_to_answer"] == 2


@pytest.mark.parametrize("identity", [METER, f"URN:IMEI:{METER}", IDENTITY])
def test_the_identity_may_be_a_name_of_the_device(bench: Bench, identity: str) -> None:
    bench.devices.apply(entry(METER, {"key one": KEY}))
    bench.devices.apply(entry(OTHER, {}))
    says(bench, bench.session(identity=identity), b"request")
    assert bench.delivered[0][2].device == METER


@pytest.mark.parametrize(("identity", "key"), [(IDENTITY, OTHER_KEY), ("nobody", KEY), (OTHER_IDENTITY, KEY)])
def test_a_wrong_key_and_an_unknown_identity_look_alike(bench: Bench, identity: str, key: bytes) -> None:
    client = DtlsClient(identity, key)
    client.proceed()
    with pytest.raises(HandshakeError, match=r"(?i)fatal|alert|bad"):
        bench.turn(client)
    assert (len(bench.sessions), len(bench.handshakes), bench.endpoint.failed) == (0, 0, 1)


def test_during_a_rotation_both_keys_open(bench: Bench) -> None:
    bench.devices.apply(entry(METER, {"old": KEY, "new": OTHER_KEY}))
    bench.session(identity="old", key=KEY)
    bench.session(identity="new", key=OTHER_KEY)
    bench.session(identity=METER, key=OTHER_KEY)  # the newest first
    old = DtlsClient(METER, KEY)
    old.proceed()
    with pytest.raises(HandshakeError):
        bench.turn(old)
    bench.session(identity=METER, key=KEY)  # then the other


def test_nothing_is_sent_to_who_had_a_key_that_is_revoked(bench: Bench) -> None:
    """An LwM2M client that listens always would otherwise be told commands until it speaks."""
    bench.session()
    bench.devices.apply(entry(METER, {}))
    bench.endpoint.send(b"close the valve", PEER, METER)
    assert [record.type for datagram in bench.taken() for record in read_records(datagram)] == [ALERT]
    assert len(bench.sessions) == 0


def test_a_key_that_is_revoked_ends_its_session(bench: Bench) -> None:
    client = bench.session()
    bench.devices.apply(entry(METER, {"another": OTHER_KEY}))
    client.send(b"request")
    with pytest.raises(HandshakeError):
        bench.turn(client)
    assert (bench.delivered, len(bench.sessions)) == ([], 0)


def test_a_recorded_datagram_is_played_in_vain(bench: Bench) -> None:
    client = bench.session()
    client.send(b"request")
    (datagram,) = client.outgoing
    client.outgoing.clear()
    for _ in range(3):
        bench.give(datagram)
        bench.give(datagram, ELSEWHERE)
    assert len(bench.delivered) == 1
    assert bench.sent == {}
    assert bench.endpoint.ignored == {"not_authentic_or_repeated": 2, "no_session": 3}


def test_close_notify_is_answered_and_ends_the_session(bench: Bench) -> None:
    client = bench.session()
    client.close()
    for datagram in client.outgoing:
        bench.give(datagram)
    (answer,) = bench.taken()
    assert read_records(answer)[0].type == ALERT
    assert (len(bench.sessions), bench.endpoint.closed) == (0, 1)


def test_a_new_handshake_replaces_the_session_only_when_it_is_over(bench: Bench) -> None:
    first = bench.session()
    second = DtlsClient(IDENTITY, KEY)
    second.proceed()
    steps = 0
    while not second.is_open:
        says(bench, first, b"still here")
        for datagram in second.outgoing:
            bench.give(datagram)
        second.outgoing.clear()
        for datagram in bench.taken():
            second.receive(datagram)
        steps += 1
    assert steps >= 3
    assert len(bench.delivered) == steps
    first.send(b"too late")
    for datagram in first.outgoing:
        bench.give(datagram)
    says(bench, second, b"mine")
    assert [message for message, _, _ in bench.delivered[steps:]] == [b"mine"]


def test_a_stranger_at_a_meters_address_ends_nothing(bench: Bench) -> None:
    """Forged: ClientHellos without cookie, with one of another address, garbage, alerts in the clear."""
    client = bench.session()
    forger = DtlsClient(IDENTITY, OTHER_KEY)
    forger.proceed()
    bench.give(forger.outgoing[0])
    bench.taken()
    bench.give(forger.outgoing[0], ELSEWHERE)
    forger.outgoing.clear()
    for datagram in bench.taken(ELSEWHERE):
        forger.receive(datagram)
    bench.give(forger.outgoing[0])  # the cookie is not this address's
    (verify,) = bench.taken()
    assert len(verify) == 60
    bench.give(bytes.fromhex("15fefd000000000000000500020100"))
    bench.give(b"\x17\xfe\xfd" + b"\0\x01" + bytes(6) + b"\0\x10" + bytes(16))
    says(bench, client, b"request")
    assert len(bench.delivered) == 1
    assert bench.endpoint.closed == bench.endpoint.failed == 0


def test_nothing_is_kept_for_a_peer_that_has_not_shown_where_it_is(bench: Bench) -> None:
    hello = DtlsClient(IDENTITY, KEY)
    hello.proceed()
    for port in range(500):
        bench.give(hello.outgoing[0], ("127.0.0.1", port))
    assert (len(bench.handshakes), bench.endpoint.greeted) == (0, 500)
    assert all(len(datagrams[0]) < len(hello.outgoing[0]) for datagrams in bench.sent.values())  # no amplification


def begun(bench: Bench, peer: tuple[str, int], address: int, key: bytes = KEY) -> DtlsClient:
    """A client that has shown where it is and says no more."""
    client = DtlsClient(IDENTITY, key)
    client.proceed()
    for _ in range(2):
        for datagram in client.outgoing:
            bench.give(datagram, peer, address)
        client.outgoing.clear()
        for datagram in bench.taken(peer)[:1]:
            if not bench.handshakes.get(peer):
                client.receive(datagram)
    return client


def test_handshakes_that_do_not_end_are_bounded_and_displace_their_own_kind() -> None:
    bench = Bench(limits=HandshakeLimits(16, 1e6, 1e6))
    for known in KEYED:
        bench.devices.apply(known)
    bench.devices.ready = True
    good = DtlsClient(IDENTITY, KEY)
    good.proceed()
    bench.give(good.outgoing.pop(), PEER, ADDRESS)
    good.receive(bench.taken()[0])
    bench.give(good.outgoing.pop(), PEER, ADDRESS)
    flight = bench.taken()
    for n in range(100):
        begun(bench, (f"10.0.0.{n}", 1000), 0xFFFF_0A00_0000 + n)
    assert (len(bench.handshakes), bench.handshakes.displaced) == (16, 85)
    for datagram in flight:
        good.receive(datagram)
    bench.turn(good)
    assert good.is_open
    bench.now += HANDSHAKE_LIFETIME_S
    bench.endpoint.tick(bench.now)
    assert len(bench.handshakes) == 0


def test_a_prefix_that_floods_takes_nothing_from_others() -> None:
    bench = Bench(limits=HandshakeLimits(1000, 20, 5))
    for known in KEYED:
        bench.devices.apply(known)
    bench.devices.ready = True
    for n in range(100):
        begun(bench, (f"10.0.0.{n}", 1000), 0xFFFF_0A00_0000 + n)
    assert (len(bench.handshakes), bench.endpoint.refused) == (10, 90)
    bench.session()


def test_many_prefixes_that_flood_leave_the_reserve_to_one_that_has_a_session() -> None:
    bench = Bench(limits=HandshakeLimits(16, 20, 5))
    for known in KEYED:
        bench.devices.apply(known)
    bench.devices.ready = True
    bench.session()
    for n in range(100):
        begun(bench, (f"10.1.{n}.0", 1000), 0xFFFF_0A01_0000 + (n << 8))
    assert bench.endpoint.refused == 71  # of 100, when one of 30 was taken before
    bench.session(("192.0.2.9", 7), OTHER_IDENTITY, OTHER_KEY)
    assert bench.endpoint.completed == 2


def test_a_prefix_beyond_its_share_is_refused_before_its_cookie_is_looked_at() -> None:
    """And a forged cookie takes no share: a stranger may write any address on his datagrams."""
    bench = Bench(limits=HandshakeLimits(1000, 20, 1))
    looked: list[object] = []
    greet = bench.endpoint._engine.greet
    bench.endpoint._engine.greet = lambda *given: (looked.append(given), greet(*given))[1]
    for known in KEYED:
        bench.devices.apply(known)
    bench.devices.ready = True
    for n in range(20):
        client, peer = DtlsClient(IDENTITY, OTHER_KEY), (f"10.0.0.{n}", 1000)
        client.proceed()
        bench.give(client.outgoing.pop(), peer, 0xFFFF_0A00_0000 + n)
        client.receive(bench.taken(peer)[0])
        bench.give(client.outgoing.pop(), (f"10.0.0.{n}", 999), 0xFFFF_0A00_0000 + n)  # the cookie is not this peer's
    assert (bench.endpoint.refused, len(bench.handshakes), len(looked)) == (0, 0, 40)
    for n in range(10):
        begun(bench, (f"10.0.0.{n}", 2000), 0xFFFF_0A00_0000 + n)
    assert (len(bench.handshakes), bench.endpoint.refused, len(looked)) == (2, 8, 40 + 10 + 2)


def test_the_last_flight_is_repeated_for_a_client_that_missed_it(bench: Bench) -> None:
    client = DtlsClient(IDENTITY, KEY)
    client.proceed()
    last: list[bytes] = []
    while not len(bench.sessions):
        last, client.outgoing = client.outgoing, []
        for datagram in last:
            bench.give(datagram)
        if len(bench.sessions):
            break
        for datagram in bench.taken():
            client.receive(datagram)
    (lost,) = bench.taken()
    # The network gives the client's flight twice; a retransmission would be the same but for its numbers.
    session = bench.sessions.get(PEER)
    assert session is not None
    assert session.farewell == lost
    for datagram in last:
        bench.give(datagram)
    assert bench.taken() == [lost]
    client.receive(lost)
    assert client.is_open
    says(bench, client, b"request")
    assert (len(bench.delivered), session.farewell) == (1, b"")


def test_a_repeated_hello_gets_the_flight_again(bench: Bench) -> None:
    client = DtlsClient(IDENTITY, KEY)
    client.proceed()
    bench.give(client.outgoing.pop())
    client.receive(bench.taken()[0])
    with_cookie = client.outgoing.pop()
    bench.give(with_cookie)
    lost = bench.taken()
    assert lost
    with_cookie = with_cookie[:10] + bytes((with_cookie[10] + 20,)) + with_cookie[11:]  # another record number
    bench.give(with_cookie)
    for datagram in bench.taken():
        client.receive(datagram)
    bench.turn(client)
    assert client.is_open
    assert bench.endpoint.completed == 1


def test_one_key_does_not_fill_the_table(bench: Bench) -> None:
    for port in range(20):
        bench.session(("127.0.0.1", port))
    assert len(bench.sessions) == MAX_SESSIONS_PER_IDENTITY


def test_a_client_without_a_suite_of_ours_is_ignored(bench: Bench) -> None:
    client = DtlsClient(IDENTITY, KEY, ("TLS-PSK-WITH-AES-256-CBC-SHA",))
    client.proceed()
    bench.give(client.outgoing[0])
    assert bench.sent == {}
    assert bench.endpoint.ignored == {"no_common_suite": 1}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200, deadline=None)
@given(st.lists(st.binary(max_size=120), max_size=4), st.integers(0, 3), st.data())
def test_any_datagrams_in_between(bench: Bench, junk: list[bytes], when: int, data: st.DataObject) -> None:
    """Whatever comes from elsewhere, a good client gets its session; what comes from its address can cost it one."""
    client = DtlsClient(IDENTITY, KEY)
    client.proceed()
    for step in range(6):
        outgoing, client.outgoing = client.outgoing, []
        for datagram in outgoing:
            if step == when:
                at = data.draw(st.integers(0, len(datagram)))
                for piece in (*junk, datagram[:at], datagram[at:]):
                    bench.give(piece, ELSEWHERE)
            bench.give(datagram)
        for datagram in bench.taken():
            client.receive(datagram)
    assert client.is_open
    bench.endpoint.tick(bench.now)
