"""Sessions in their file: what comes back, what is not in the clear, and that no nonce comes twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.dtls.records import APPLICATION_DATA, read_records
from gateway.dtls.session import Session, SessionState, Speaker
from gateway.dtls.session_keeper import SessionKeeper
from gateway.dtls.session_store import Change, SessionStore
from gateway.dtls.sessions import Sessions
from metering.credentials import MasterKeys
from metering.errors import StartError

MASTER_KEYS = MasterKeys({0: b"m" * 32})
KEYS = bytes(range(100, 140))
SPEAKER = Speaker("861", "urn:imei:861", b"mark")
PEER, PEER6 = ("10.0.0.1", 5), ("fe80::1", 5, 0, 2)


def stored(path: Path) -> list[tuple[tuple[object, ...], Session, float]]:
    store = SessionStore(str(path), MASTER_KEYS)
    found = [tuple(each) for each in store.load()]
    store.close()
    return found


def test_sessions_come_back_and_say_nothing_to_who_has_the_file(tmp_path: Path) -> None:
    path = tmp_path / "sessions"
    store = SessionStore(str(path), MASTER_KEYS)
    state = SessionState(0xC0A8, KEYS, 7, 41, 0b101)
    store.write([Change(PEER, SPEAKER, state, 20.0), Change(PEER6, SPEAKER, state, 10.0), Change(("10.0.0.2", 1))])
    store.write([Change(PEER, SPEAKER, state._replace(highest=42), 30.0)])
    assert store.generation == 1
    store.close()
    first, second = stored(path)
    assert (first[0], first[2], second[0], second[2]) == (PEER6, 10.0, PEER, 30.0)
    assert second[1].state() == SessionState(0xC0A8, KEYS, 2 << 32, 42, 0b101)
    assert second[1].speaker == SPEAKER
    for file in tmp_path.iterdir():
        assert KEYS[:16] not in file.read_bytes()
    store = SessionStore(str(path), MASTER_KEYS)
    store.write([Change(PEER), Change(PEER6)])
    store.close()
    assert stored(path) == []


def test_each_opening_has_numbers_of_its_own(tmp_path: Path) -> None:
    """Also when nothing was written after sending, as before a kill."""
    path, used = tmp_path / "sessions", set[int]()
    store = SessionStore(str(path), MASTER_KEYS)
    store.write([Change(PEER, SPEAKER, SessionState(0xC0A8, KEYS, 1), 1.0)])
    store.close()
    for _ in range(3):
        ((_, session, _),) = stored(path)
        for _ in range(3):
            used.add(read_records(session.seal(APPLICATION_DATA, b"x"))[0].sequence)
    assert len(used) == 9


def test_other_master_keys_and_files_that_are_none(tmp_path: Path) -> None:
    path = tmp_path / "sessions"
    store = SessionStore(str(path), MasterKeys({0: b"o" * 32}))
    store.write([Change(PEER, SPEAKER, SessionState(0xC0A8, KEYS, 1), 1.0)])
    store.close()
    assert stored(path) == []
    path.write_bytes(b"x" * 8192)
    with pytest.raises(StartError, match="sessions_file"):
        SessionStore(str(path), MASTER_KEYS)


async def test_the_keeper_writes_what_changed(tmp_path: Path) -> None:
    path = tmp_path / "sessions"
    sessions = Sessions(10, idle_timeout_s=100)
    keeper = SessionKeeper(SessionStore(str(path), MASTER_KEYS), sessions)
    keeper.load(now=1000.0)
    sessions.add(PEER, Session(SPEAKER, SessionState(0xC0A8, KEYS, 1)), now=1000.0)
    sessions.add(PEER6, Session(SPEAKER, SessionState(0xC0A8, KEYS, 1)), now=1050.0)
    keeper.tick(now=1060.0)
    sessions.remove(PEER)
    await keeper.stop(lambda: 1060.0)
    again = Sessions(10, idle_timeout_s=100)
    keeper = SessionKeeper(SessionStore(str(path), MASTER_KEYS), again)
    keeper.load(now=2000.0)
    assert PEER6 in again
    assert len(again) == 1
    again.expire(now=2080.0)
    assert len(again) == 1
    again.expire(now=2095.0)
    assert len(again) == 0
    await keeper.stop(lambda: 2095.0)
