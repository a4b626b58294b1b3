"""The memory of reports answered with success, so that a repeat gets the same answer and is not stored again.

A packed set-associative table: no object and no timer per report. A report is recognised by 96 bits of its content
(device included), which finds a retransmission under the same message ID as well as one that a rebinding NAT gave
another address; a message ID that comes back with other content is a new report. Entries expire by the time they
carry; a full set forgets its oldest, and a forgotten repeat is merely stored again and recognised by ingest.
"""

from __future__ import annotations

import zlib
from array import array

EXCHANGE_LIFETIME_S = 247
"""RFC 7252 section 4.8.2: from sending a confirmable message to when its message ID may be used anew."""

_WAYS = 4
Key = tuple[str, int, bytes] | tuple[str, int, bytes, str]
"""Device, content format, payload, and who answers for them: what a stranger says first must not pass for a repeat when
the right one says it."""

_U64 = 0xFFFF_FFFF_FFFF_FFFF


class RepeatMemory:
    """`capacity` entries of 16 bytes, rounded up to a power of two. `now` is any monotonic clock in seconds."""

    def __init__(self, capacity: int = 1 << 20, lifetime_s: int = EXCHANGE_LIFETIME_S) -> None:
        if lifetime_s < 1:
            raise ValueError("lifetime_s must be at least 1")
        self.capacity = max(_WAYS, 1 << (capacity - 1).bit_length())
        self.evictions = 0
        """Entries forgotten before their lifetime was over: the table is too small for the load."""
        self._lifetime_s = lifetime_s
        self._sets_mask = self.capacity // _WAYS - 1
        self._prints = array("Q", bytes(8 * self.capacity))
        self._stamps = array("Q", bytes(8 * self.capacity))  # 32 bits of check, 32 bits of second
        self._epoch: float | None = None

    def recalls(self, key: Key, now: float) -> bool:
        """Whether this content was remembered within the lifetime."""
        fingerprint = hash(key) & _U64
        first = (fingerprint & self._sets_mask) * _WAYS
        prints = self._prints[first : first + _WAYS]
        if fingerprint not in prints:
            return False
        check, second = zlib.crc32(key[2]), self._second(now)
        return any(
            known == fingerprint and stamp >> 32 == check and second - (stamp & 0xFFFF_FFFF) < self._lifetime_s
            for known, stamp in zip(prints, self._stamps[first : first + _WAYS], strict=True)
        )

    def remember(self, key: Key, now: float) -> None:
        """Take it into the memory, over the oldest entry of its set."""
        fingerprint, check = hash(key) & _U64, zlib.crc32(key[2])
        second = self._second(now)
        first = (fingerprint & self._sets_mask) * _WAYS
        seconds = [stamp & 0xFFFF_FFFF for stamp in self._stamps[first : first + _WAYS]]
        oldest = min(seconds)
        slot = first + seconds.index(oldest)
        if second - oldest < self._lifetime_s:
            self.evictions += 1
        self._prints[slot] = fingerprint
        self._stamps[slot] = check << 32 | second

    def _second(self, now: float) -> int:
        """Seconds since the first use, ahead by one lifetime so that an empty slot (0) counts as expired."""
        if self._epoch is None:
            self._epoch = now
        return int(now - self._epoch) + self._lifetime_s
