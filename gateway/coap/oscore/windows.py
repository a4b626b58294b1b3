"""Which Partial IVs of each context were seen (RFC 8613 sections 3.2.2 and 7.4), packed. Pure.

A window is known by the fingerprint of its keys, so that new keys under an old kid begin anew. 40 bytes each: a million
meters take 40 MB. A window is never forgotten: a forgotten one would have to be asked for by Echo.
"""

from __future__ import annotations

import struct
from array import array
from enum import Enum

from gateway.packed import PackedKeys

WINDOW = 32
"""Section 3.2.2: the default size. Older numbers count as seen."""
MAX_WINDOWS = 4_000_000
"""Further contexts have no window and are asked by Echo at every request."""
RECORD = struct.Struct("<8sQI")
"""Fingerprint, highest number seen, bits of the 32 below and at it: what a journal holds."""

_COUNT = struct.Struct("<Q")
_BITS = (1 << WINDOW) - 1


class Seen(Enum):
    """What is known of a Partial IV."""

    NO = "no"
    YES = "yes"
    UNKNOWN = "unknown"
    """The context has no window yet."""


class Windows:
    """Bit n of `_bits` says whether `_tops` - n was seen."""

    def __init__(self) -> None:
        self._prints = PackedKeys()
        self._tops = array("Q")
        self._bits = array("I")

    def __len__(self) -> int:
        return len(self._tops)

    def find(self, fingerprint: bytes) -> int:
        """Where the window of these keys is, for the other methods; negative when there is none."""
        return self._prints.find(fingerprint)

    def look(self, at: int, number: int) -> Seen:
        if at < 0:
            return Seen.UNKNOWN
        behind = self._tops[at] - number
        if behind < 0:
            return Seen.NO
        return Seen.YES if behind >= WINDOW or self._bits[at] >> behind & 1 else Seen.NO

    def open(self, fingerprint: bytes, number: int) -> int:
        """Begin a window in which nothing up to and including `number` is taken any more; negative: there was no
        room."""
        at = self._prints.find(fingerprint)
        if at < 0 and len(self) >= MAX_WINDOWS:
            return -1
        return self.restore(fingerprint, number, _BITS)

    def mark(self, at: int, number: int) -> None:
        """The number was seen."""
        ahead = number - self._tops[at]
        if ahead > 0:
            self._tops[at] = number
            self._bits[at] = 1 if ahead >= WINDOW else (self._bits[at] << ahead | 1) & _BITS
        elif -ahead < WINDOW:
            self._bits[at] |= 1 << -ahead

    def clear(self, at: int, number: int) -> None:
        """The number may come again: what it brought was not taken."""
        behind = self._tops[at] - number
        if 0 <= behind < WINDOW:
            self._bits[at] &= ~(1 << behind) & _BITS

    def record(self, at: int) -> bytes:
        """A window as it is now."""
        return RECORD.pack(self._prints[at], self._tops[at], self._bits[at])

    def restore(self, fingerprint: bytes, top: int, bits: int) -> int:
        """From a record; the last one of a window is true. Where the window is."""
        at = self._prints.add(fingerprint)
        if at == len(self._tops):
            self._tops.append(top)
            self._bits.append(bits)
        else:
            self._tops[at], self._bits[at] = top, bits
        return at

    def snapshot(self) -> bytes:
        """All windows at once, in a tenth of the time that single records take."""
        return b"".join((_COUNT.pack(len(self)), self._prints.text(), self._tops.tobytes(), self._bits.tobytes()))

    def load(self, stored: bytes) -> int:
        """Take in a snapshot at the beginning of `stored`; how many bytes it had. Raises ValueError when it is cut."""
        (count,) = _COUNT.unpack_from(stored) if len(stored) >= _COUNT.size else (-1,)
        size: int = _COUNT.size + RECORD.size * count
        if not 0 <= count <= MAX_WINDOWS or len(stored) < size:
            raise ValueError("a snapshot of replay windows is cut")
        tops_at = _COUNT.size + 8 * count
        tops, bits = array("Q"), array("I")
        tops.frombytes(stored[tops_at : tops_at + 8 * count])
        bits.frombytes(stored[tops_at + 8 * count : size])
        for at in range(count):
            self.restore(stored[_COUNT.size + 8 * at : _COUNT.size + 8 * at + 8], tops[at], bits[at])
        return size
