"""Sessions that outlive the process, sealed with the master key, in one SQLite file.

Why at all: a client whose session the server has forgotten is told nothing that it may believe (RFC 6347 section
4.1.2.7), and a meter may keep on speaking into the void for days. A session is written when it begins; what is seen of
it later lags by a second or two: after a kill a datagram recorded in the last seconds could be played once more, where
its content is recognised as any repeat's.

No nonce is used twice, whatever of the last seconds was lost: each opening of the file counts a generation up, on disk
before anything is sent, and sessions go on with sequence numbers that only this generation uses.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import Any, NamedTuple

import cbor2
import structlog

from gateway.dtls.session import Session, SessionState, Speaker
from metering.credentials import Credential, CredentialKind, MasterKeys
from metering.errors import CredentialError, StartError

GENERATION_BITS = 32
MAX_GENERATION = (1 << 48 - GENERATION_BITS) - 1
_SCHEMA = """
CREATE TABLE IF NOT EXISTS generation (number INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS sessions (peer BLOB PRIMARY KEY, sealed BLOB NOT NULL) WITHOUT ROWID;
"""
Peer = tuple[Any, ...]
_log = structlog.get_logger()


class Stored(NamedTuple):
    """`used_s`: Unix seconds."""

    peer: Peer
    session: Session
    used_s: float


class Change(NamedTuple):
    """What a session is now; `state` None: it is over."""

    peer: Peer
    speaker: Speaker | None = None
    state: SessionState | None = None
    used_s: float = 0.0


class SessionStore:
    """Used by one process and one thread at a time."""

    def __init__(self, path: str, master_keys: MasterKeys) -> None:
        """Raises StartError for a file that cannot be used."""
        self._master_keys = master_keys
        try:
            self._database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            self._database.executescript("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;" + _SCHEMA)
            self.generation = self._next_generation()
            self._database.execute("PRAGMA synchronous = NORMAL")
        except sqlite3.Error as error:
            raise StartError(f"dtls.sessions_file {path}: {error}; remove it, and meters shake hands anew") from error

    def load(self) -> list[Stored]:
        """Least recently used first; what the master keys do not open is left out."""
        found = [
            self._read(peer, sealed) for peer, sealed in self._database.execute("SELECT peer, sealed FROM sessions")
        ]
        return sorted((stored for stored in found if stored is not None), key=lambda stored: stored.used_s)

    def write(self, changes: Iterable[Change]) -> None:
        """All or nothing. Raises sqlite3.Error."""
        kept, over = [], []
        for change in changes:
            peer = cbor2.dumps(change.peer)
            if change.state is None or change.speaker is None:
                over.append((peer,))
                continue
            packed = cbor2.dumps([*change.speaker, *change.state, change.used_s])
            kept.append((peer, self._master_keys.seal(CredentialKind.PSK, _bound(peer), packed).sealed))
        self._database.execute("BEGIN")
        try:
            self._database.executemany("INSERT OR REPLACE INTO sessions VALUES (?, ?)", kept)
            self._database.executemany("DELETE FROM sessions WHERE peer = ?", over)
        except sqlite3.Error:
            self._database.execute("ROLLBACK")
            raise
        self._database.execute("COMMIT")

    def close(self) -> None:
        self._database.close()

    def _next_generation(self) -> int:
        row = self._database.execute("SELECT max(number) FROM generation").fetchone()
        number = (row[0] or 0) + 1
        self._database.execute("BEGIN")
        if number > MAX_GENERATION:
            self._database.execute("DELETE FROM sessions")
            number = 1
        self._database.execute("DELETE FROM generation")
        self._database.execute("INSERT INTO generation VALUES (?)", (number,))
        self._database.execute("COMMIT")
        return number

    def _read(self, peer: bytes, sealed: bytes) -> Stored | None:
        try:
            packed = self._master_keys.open(Credential(CredentialKind.PSK, _bound(peer), sealed))
            device, identity, mark, suite, keys, _, highest, seen, used_s = cbor2.loads(packed)
            state = SessionState(suite, keys, self.generation << GENERATION_BITS, highest, seen)
            return Stored(tuple(cbor2.loads(peer)), Session(Speaker(device, identity, mark), state), used_s)
        except (CredentialError, cbor2.CBORError, TypeError, ValueError) as error:
            _log.warning("a stored DTLS session cannot be read", error=repr(error))
            return None


def _bound(peer: bytes) -> bytes:
    """What a seal is bound to, beside which no PSK identity can be: it is longer than a key id."""
    return b"DTLS session of " + peer.rjust(64, b"\0")
