"""Handshakes that are not over, in a bounded table, and how many may begin (DESIGN section 5.3). Pure."""

from __future__ import annotations

from collections import Counter, OrderedDict
from typing import Any, NamedTuple

from gateway.dtls.engine import Handshake
from gateway.refusals import RefusalLimiter, prefix_of

HANDSHAKE_LIFETIME_S = 90.0
"""A meter at the edge of coverage takes ~10 s for each of two round trips and may lose a flight (PROTOCOLS F)."""

_ALL = 0
"""The one address that all handshakes together are counted under."""

RESERVED_SHARE = 0.25
"""Of the handshakes per second, kept for prefixes from which one was completed before. With the default limits this is
more than what one prefix may begin, so that one that turned bad does not use it up."""

MAX_KNOWN_PREFIXES = 65_536
"""The one whose last completed handshake is longest ago is forgotten: ~150 bytes each."""

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
        self._reserved_rate = RefusalLimiter(limits.per_second * RESERVED_SHARE)
        self._rate = RefusalLimiter(limits.per_second * (1 - RESERVED_SHARE))
        self._known: OrderedDict[int, None] = OrderedDict()
        self._open: dict[Peer, Opened] = {}
        self._by_prefix: Counter[int] = Counter()
        self.displaced = 0

    def __len__(self) -> int:
        return len(self._open)

    def get(self, peer: Peer) -> Opened | None:
        return self._open.get(peer)

    @property
    def known_prefixes(self) -> int:
        return len(self._known)

    def learn(self, prefix: int) -> None:
        """Somebody there has completed a handshake: from there come meters. `prefix`: of `prefix_of`."""
        self._known[prefix] = None
        self._known.move_to_end(prefix)
        if len(self._known) > MAX_KNOWN_PREFIXES:
            self._known.popitem(last=False)

    def may_begin(self, address: int, now: float) -> bool:
        """Whether one more handshake may begin at `now`; takes its share. The prefix is asked first, so that one that
        floods takes nothing of what all have; known prefixes have the reserve, and what all have after it."""
        if not self._by_prefix_rate.allow(address, now):
            return False
        is_known = prefix_of(address) in self._known
        return (is_known and self._reserved_rate.allow(_ALL, now)) or self._rate.allow(_ALL, now)

    def could_begin(self, address: int, now: float) -> bool:
        """As `may_begin`, for who only looks."""
        if not self._by_prefix_rate.would_allow(address, now):
            return False
        is_known = prefix_of(address) in self._known
        return (is_known and self._reserved_rate.would_allow(_ALL, now)) or self._rate.would_allow(_ALL, now)

    def add(self, peer: Peer, handshake: Handshake, hello_random: bytes, address: int, now: float) -> None:
        """In a full table the prefix that holds most gives up its oldest; those that are not known come first."""
        self.remove(peer)
        if len(self._open) >= self._max_open:
            busiest = max(self._by_prefix, key=lambda held: (held not in self._known, self._by_prefix[held]))
            self.remove(next(other for other, opened in self._open.items() if opened.prefix == busiest))
            self.displaced += 1
        prefix = prefix_of(address)
        self._open[peer] = Opened(handshake, hello_random, prefix, now)
        self._by_prefix[prefix] += 1

    def remove(self, peer: Peer) -> Opened | None:
        opened = self._open.pop(peer, None)
        if opened is not None:
            self._by_prefix[opened.prefix] -= 1
            if not self._by_prefix[opened.prefix]:
                del self._by_prefix[opened.prefix]
        return opened

    def expire(self, now: float) -> int:
        """Forget those that took too long; how many."""
        old = [peer for peer, opened in self._open.items() if now - opened.opened_at >= HANDSHAKE_LIFETIME_S]
        for peer in old:
            self.remove(peer)
        return len(old)

    def items(self) -> list[tuple[Peer, Opened]]:
        return list(self._open.items())
