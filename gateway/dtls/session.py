"""One session after its handshake: seals and opens records, each once (RFC 6347 section 4.1). Pure."""

from __future__ import annotations

import struct
from typing import NamedTuple

from cryptography.exceptions import InvalidTag

from gateway.dtls.key_schedule import KEY_BYTES, SALT_BYTES, SUITES
from gateway.dtls.records import HEADER, VERSION_1_2, Record

WINDOW = 64
"""Sequence numbers below the highest that may still come (section 4.1.2.6)."""

EPOCH = 1
"""There is no renegotiation, so that all protected records are of the first epoch after the handshake."""

_EPOCH_BITS = EPOCH << 48
_ADDITIONAL = struct.Struct("!QBHH")
_EXPLICIT_BYTES = 8
_CLIENT_SALT = 2 * KEY_BYTES
_SERVER_SALT = _CLIENT_SALT + SALT_BYTES


class Speaker(NamedTuple):
    """Who proved to have a key. `mark`: of that very key, to see when it is another."""

    device: str
    identity: str
    mark: bytes


class SessionState(NamedTuple):
    """`keys`: a key block. `sent`: the sequence number of the next record of EPOCH to be sent. `highest`, `seen`: of
    records received; `seen` has a bit for each of the last WINDOW, the lowest for the highest."""

    suite: int
    keys: bytes
    sent: int
    highest: int = -1
    seen: int = 0


class Session:
    """The server's side. A million meters have no room for more: 40 bytes of keys and some numbers."""

    __slots__ = ("_highest", "_keys", "_seen", "_sent", "_suite", "farewell", "speaker", "used_at")

    def __init__(self, speaker: Speaker, state: SessionState, farewell: bytes = b"") -> None:
        """`farewell`: the last flight of the handshake, kept until the client shows that it has it (section 4.2.4)."""
        self.speaker, self.farewell = speaker, farewell
        self.used_at = 0.0
        self._suite, self._keys, self._sent, self._highest, self._seen = state

    def state(self) -> SessionState:
        return SessionState(self._suite, self._keys, self._sent, self._highest, self._seen)

    def open(self, record: Record) -> bytes | None:
        """The plaintext; None for a record that is not authentic or was opened before."""
        if record.epoch != EPOCH or not self._is_new(record.sequence):
            return None
        suite, fragment = SUITES[self._suite], record.fragment
        size = len(fragment) - _EXPLICIT_BYTES - suite.tag_bytes
        if size < 0:
            return None
        nonce = self._keys[_CLIENT_SALT:_SERVER_SALT] + fragment[:_EXPLICIT_BYTES]
        aead = suite.aead(self._keys[:KEY_BYTES])
        try:
            plaintext = aead.decrypt(nonce, fragment[_EXPLICIT_BYTES:], _additional(record.type, record.sequence, size))
        except InvalidTag:
            return None
        self._note(record.sequence)
        return plaintext

    def seal(self, kind: int, plaintext: bytes) -> bytes:
        """A record of this type. Its sequence number is its nonce, and no number is used twice."""
        suite, number = SUITES[self._suite], _EPOCH_BITS | self._sent
        explicit = number.to_bytes(_EXPLICIT_BYTES, "big")
        aead = suite.aead(self._keys[KEY_BYTES:_CLIENT_SALT])
        sealed = aead.encrypt(
            self._keys[_SERVER_SALT:] + explicit, plaintext, _additional(kind, self._sent, len(plaintext))
        )
        self._sent += 1
        return HEADER.pack(kind, VERSION_1_2, number, _EXPLICIT_BYTES + len(sealed)) + explicit + sealed

    def _is_new(self, sequence: int) -> bool:
        behind = self._highest - sequence
        return behind < 0 or (behind < WINDOW and not self._seen >> behind & 1)

    def _note(self, sequence: int) -> None:
        if sequence > self._highest:
            self._seen = (self._seen << min(sequence - self._highest, WINDOW) | 1) & ((1 << WINDOW) - 1)
            self._highest = sequence
        else:
            self._seen |= 1 << (self._highest - sequence)


def _additional(kind: int, sequence: int, plaintext_bytes: int) -> bytes:
    """RFC 5246 section 6.2.3.3, with epoch and sequence number as the number (RFC 6347 section 4.1.2.1)."""
    return _ADDITIONAL.pack(_EPOCH_BITS | sequence, kind, VERSION_1_2, plaintext_bytes)
