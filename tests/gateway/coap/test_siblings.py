"""Datagrams passed between two sets of siblings in this process."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.coap import siblings
from gateway.coap.siblings import MAX_CONVERSATIONS, Passed, Siblings
from tests.gateway.conftest import until

PEER = ("2001:db8::1", 5683, 0, 0)


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[Siblings, Siblings]]:
    tmp_path.chmod(0o700)
    both = Siblings(tmp_path, 0, 2), Siblings(tmp_path, 1, 2)
    yield both
    for each in both:
        each.close()


async def test_a_datagram_arrives_whole_with_its_peer_and_a_burst_waits_its_turn(
    pair: tuple[Siblings, Siblings],
) -> None:
    here, there = pair
    received: list[tuple[bytes, tuple[object, ...]]] = []
    sent = [b"%d" % number for number in range(500)]  # far more than a Unix socket holds
    assert {here.pass_on(1, datagram, PEER) for datagram in sent} == {Passed.YES}
    there.start(lambda datagram, peer: received.append((datagram, peer)))
    await until(lambda: asyncio.sleep(0, len(received) == len(sent)))
    assert received == [(datagram, PEER) for datagram in sent]
    assert (here.passed_on, here.lost, there.taken_over) == (500, 0, 500)
    assert here.owner_for(PEER) == 1


async def test_what_cannot_wait_is_lost_and_counted(
    pair: tuple[Siblings, Siblings], monkeypatch: pytest.MonkeyPatch
) -> None:
    here, _ = pair
    monkeypatch.setattr(siblings, "MAX_WAITING", 3)
    while here.pass_on(1, bytes(1000), PEER) is Passed.YES:
        assert here.passed_on < 10_000
    assert here.lost == 1


async def test_an_owner_that_left_or_was_killed_is_away(pair: tuple[Siblings, Siblings], tmp_path: Path) -> None:
    here, there = pair
    there.start(lambda *_: None)
    there.stop_reading()
    assert here.pass_on(1, b"x", PEER) is Passed.AWAY
    again = Siblings(tmp_path, 1, 2)
    assert here.pass_on(1, b"x", PEER) is Passed.YES
    again._socket.close()  # as kill -9 does: the name stays
    assert here.pass_on(1, b"x", PEER) is Passed.AWAY
    once_more = Siblings(tmp_path, 1, 2)
    assert here.pass_on(1, b"x", PEER) is Passed.YES
    once_more.close()


def test_owners_are_spread_and_agreed_on(pair: tuple[Siblings, Siblings]) -> None:
    here, there = pair
    keys = [b"86%d" % number for number in range(1000)]
    assert [here.owner_of(key) for key in keys] == [there.owner_of(key) for key in keys]
    assert 400 < sum(map(here.owner_of, keys)) < 600


async def test_peers_are_remembered_up_to_a_bound(pair: tuple[Siblings, Siblings]) -> None:
    here, there = pair
    there.start(lambda *_: None)
    for port in range(MAX_CONVERSATIONS + 1):
        here._remember(("::1", port), 1)
    assert here.owner_for(("::1", 0)) is None
    assert here.owner_for(("::1", MAX_CONVERSATIONS)) == 1
