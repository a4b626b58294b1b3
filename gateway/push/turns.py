"""How fast each product may push: a token bucket of messages, and a short bounded queue before it. Pure.

A platform takes an answer that is late (it waits 15 s) better than one that says no: errors make it drop what follows.
So a push beyond the rate waits for its turn, which slows its sender down, as one connection carries one push at a time.
What finds no place in the queue, or no turn within LONGEST_WAIT_S, is refused and was not taken.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import NamedTuple

BURST_S = 1.0
"""A product that was quiet may send so many seconds' worth at once."""

LONGEST_WAIT_S = 5.0
"""With `push.deadline_s` (8 s) after it still within the 15 s that platforms wait."""

SHORTEST_WAIT_S = 0.001
"""Between two looks at a queue: many turns come at once where there are a thousand a second."""

PRODUCT_SHARE, ALL_SHARE = 4, 2
"""One product's waiting pushes hold at most a fourth of all connections, those of all products half of them."""

CallLater = Callable[[float, Callable[[], None]], object]


class Waiting(NamedTuple):
    """`take`: how many messages it brought. `refuse`: it is not taken."""

    came_at: float
    take: Callable[[], int]
    refuse: Callable[[], None]


class _Bucket:
    """`tokens`: messages that may come now; below zero when the last push brought more than there were."""

    __slots__ = ("is_timed", "queue", "since", "tokens")

    def __init__(self, tokens: float, now: float) -> None:
        self.tokens, self.since, self.is_timed = tokens, now, False
        self.queue: deque[Waiting] = deque()


class Turns:
    """`per_second`: messages of one product. `call_later`: seconds from now, and what to call then."""

    def __init__(
        self, per_second: float, max_connections: int, clock: Callable[[], float], call_later: CallLater
    ) -> None:
        self._per_second, self._burst = per_second, max(1.0, per_second * BURST_S)
        self._of_product, self._of_all = max(1, max_connections // PRODUCT_SHARE), max(1, max_connections // ALL_SHARE)
        self._clock, self._call_later = clock, call_later
        self._buckets: dict[str, _Bucket] = {}
        self._waiting = 0

    def __len__(self) -> int:
        """Pushes that wait."""
        return self._waiting

    def come(self, product: str, take: Callable[[], int], refuse: Callable[[], None]) -> bool:
        """Calls one of the two, now or later; whether it waits."""
        now = self._clock()
        bucket = self._buckets.setdefault(product, _Bucket(self._burst, now))
        self._refill(bucket, now)
        if not bucket.queue and bucket.tokens >= 1:
            bucket.tokens -= 1  # before it is taken, which may fail
            bucket.tokens -= max(1, take()) - 1
            return False
        if len(bucket.queue) >= self._of_product or self._waiting >= self._of_all:
            refuse()
            return False
        bucket.queue.append(Waiting(now, take, refuse))
        self._waiting += 1
        self._set_timer(bucket)
        return True

    def keep(self, products: Iterable[str]) -> None:
        """These are the products now; of others only what waits is remembered."""
        names = set(products)
        self._buckets = {name: bucket for name, bucket in self._buckets.items() if name in names or bucket.queue}

    def take_all_now(self) -> None:
        """Whatever the rate: nobody else comes any more."""
        for bucket in self._buckets.values():
            while bucket.queue:
                self._take(self._next(bucket))

    def _take(self, waiting: Waiting) -> int:
        try:
            return max(1, waiting.take())
        except Exception:
            waiting.refuse()
            raise

    def _next(self, bucket: _Bucket) -> Waiting:
        self._waiting -= 1
        return bucket.queue.popleft()

    def _refill(self, bucket: _Bucket, now: float) -> None:
        bucket.tokens = min(self._burst, bucket.tokens + (now - bucket.since) * self._per_second)
        bucket.since = now

    def _set_timer(self, bucket: _Bucket) -> None:
        if bucket.queue and not bucket.is_timed:
            bucket.is_timed = True
            wait_s = min(max(SHORTEST_WAIT_S, (1 - bucket.tokens) / self._per_second), LONGEST_WAIT_S)
            self._call_later(wait_s, lambda: self._turn(bucket))

    def _turn(self, bucket: _Bucket) -> None:
        """One timer of a product at a time. A defect met by one push costs that push only."""
        bucket.is_timed, now = False, self._clock()
        self._refill(bucket, now)
        try:
            while bucket.queue:
                if now - bucket.queue[0].came_at >= LONGEST_WAIT_S:
                    self._next(bucket).refuse()
                elif bucket.tokens >= 1:
                    bucket.tokens -= 1
                    bucket.tokens -= self._take(self._next(bucket)) - 1
                else:
                    break
        finally:
            self._set_timer(bucket)
