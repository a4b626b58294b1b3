"""Handshakes that are not over, in a bounded table, and how many may begin (DESIGN section 5.3). Pure."""

from __future__ import annotations

from collections import Counter
from typing import Any, NamedTuple

from gateway.dtls.engine import Handshake
from gateway.refusals import RefusalLimiter, prefix_of

HANDSHAKE_LIFETIME_S = 90.0
"""A meter at the edge of coverage takes ~10 s for each of two round trips and may lose a flight (PROTOCOLS F)."""

_ALL = 0
"""The one address that all handshakes together are counted under."""

Peer = tuple[Any, ...]


class HandshakeLimits(NamedTuple):
    """`open`: at once. `per_second`: begun by all; `per_second_per_prefix`: by one source prefix."""

    open: int
    per_second: float
    per_second_per_prefix: float


class Opened(NamedTuple):
    handshake: Handshake
    hello_random: bytes
    prefix: int
    opened_at: float


class Handshakes:
    """Of peers that have shown that they receive at their address."""

    def __init__(self, limits: HandshakeLimits) -> None:
        self._max_open = limits.open
        self._by_prefix_rate = RefusalLimiter(limits.per_second_per_prefix)
        self._rate = RefusalLimiter(limits.per_second)
        self._open: dict[Peer, Opened] = {}
        self._by_prefix: Counter[int] = Counter()
        self.displaced = 0

    def __len__(self) -> int:
        return len(self._open)

    def get(self, peer: Peer) -> Opened | None:
        return self._open.get(peer)

    def may_begin(self, address: int, now: float) -> bool:
        """Whether one more handshake may begin at `now`; takes its share. The prefix is asked first, so that one that
        floods takes nothing of what all have."""
        return self._by_prefix_rate.allow(address, now) and self._rate.allow(_ALL, now)

    def could_begin(self, address: int, now: float) -> bool:
        """As `may_begin`, for who only looks."""
        return self._by_prefix_rate.would_allow(address, now) and self._rate.would_allow(_ALL, now)

    def add(self, peer: Peer, handshake: Handshake, hello_random: bytes, address: int, now: float) -> None:
        """In a full table the prefix that holds most gives up its oldest."""
        self.remove(peer)
        if len(self._open) >= self._max_open:
            busiest = self._by_prefix.most_common(1)[0][0]
            self.remove(next(other for other, opened in self._open.items() if opened.prefix == busiest))
            self.displaced += 1
        prefix = prefix_of(address)
        self._open[peer] = Opened(handshake, hello_random, prefix, now)
        self._by_prefix[prefix] += 1

    def remove(self, peer: Peer) -> None:
        opened = self._open.pop(peer, None)
        if opened is not None:
            self._by_prefix[opened.prefix] -= 1
            if not self._by_prefix[opened.prefix]:
                del self._by_prefix[opened.prefix]

    def expire(self, now: float) -> int:
        """Forget those that took too long; how many."""
        old = [peer for peer, opened in self._open.items() if now - opened.opened_at >= HANDSHAKE_LIFETIME_S]
        for peer in old:
            self.remove(peer)
        return len(old)

    def items(self) -> list[tuple[Peer, Opened]]:
        return list(self._open.items())
