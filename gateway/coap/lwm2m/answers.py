"""Answers to requests of the last minutes, so that a retransmission gets the same and is not acted on again
(RFC 7252 sections 4.2 and 4.5). A bounded table without a timer for each message. Pure.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from enum import Enum

LIFETIME_S = 247.0
"""EXCHANGE_LIFETIME of RFC 7252 section 4.8.2."""

Key = tuple[Hashable, int]
"""Peer and message ID."""


class Seen(Enum):
    NEW = "new"
    IN_WORK = "in work"
    """The same request has no answer yet: silence, the one answer will serve."""


class Answers:
    """At most `capacity` requests. As aiocoap's memory does here, it knows content as well: a module that wakes from
    power saving starts to count message IDs where it always does."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._known: OrderedDict[Key, tuple[int, float, bytes | None]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._known)

    def recall(self, key: Key, datagram: bytes, now: float) -> Seen | bytes:
        """The answer this datagram had, IN_WORK, or NEW; a NEW one is then in work."""
        known = self._known.get(key)
        if known is not None and known[0] == hash(datagram) and now - known[1] < LIFETIME_S:
            return Seen.IN_WORK if known[2] is None else known[2]
        self._known.pop(key, None)
        self._known[key] = hash(datagram), now, None
        self._forget(now)
        return Seen.NEW

    def note(self, key: Key, answer: bytes) -> None:
        """What was answered."""
        known = self._known.get(key)
        if known is not None:
            self._known[key] = known[0], known[1], answer

    def forget(self, key: Key) -> None:
        """It was refused for now: the next one is looked at anew."""
        self._known.pop(key, None)

    def _forget(self, now: float) -> None:
        while self._known:
            _, at, _ = next(iter(self._known.values()))
            if len(self._known) <= self._capacity and now - at < LIFETIME_S:
                return
            self._known.popitem(last=False)
