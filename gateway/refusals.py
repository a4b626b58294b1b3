"""How many refusals a source prefix gets: a token bucket per /24 and /64, in a bounded table (DESIGN section 5.3)."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

MAX_PREFIXES = 65_536
SWEEP_PAUSE_S = 1.0
BURST_S = 2.0
_IPV4_MAPPED = 0xFFFF


def bits_of(address: IPv4Address | IPv6Address) -> int:
    """As 128 bits, IPv4 mapped (RFC 4291 section 2.5.5.2)."""
    return int(address) | (_IPV4_MAPPED << 32 if address.version == 4 else 0)


def prefix_of(address: int) -> int:
    """The /24 of an IPv4-mapped or the /64 of an IPv6 address, given as 128 bits. IPv4 prefixes are negative."""
    if address >> 32 == _IPV4_MAPPED:
        return -(address >> 8)
    return address >> 64


class RefusalLimiter:
    """`per_second` refusals to each prefix, two seconds' worth at once at most.

    A table full of busy prefixes refuses to learn more of them: the answer is then silence. The sweep that makes room
    runs at most once a second, so that forged sources cannot buy work with it.
    """

    def __init__(self, per_second: float, max_prefixes: int = MAX_PREFIXES) -> None:
        self._per_second, self._max_prefixes = per_second, max_prefixes
        self._burst = max(1.0, per_second * BURST_S)
        self._buckets: dict[int, tuple[float, float]] = {}
        self._next_sweep = float("-inf")

    def __len__(self) -> int:
        return len(self._buckets)

    def allow(self, address: int, now: float) -> bool:
        """Whether one more refusal may go to this address at `now`; takes its token."""
        prefix = prefix_of(address)
        bucket = self._buckets.get(prefix)
        if bucket is None:
            if len(self._buckets) >= self._max_prefixes and not self._sweep(now):
                return False
            self._buckets[prefix] = (self._burst - 1, now)
            return True
        tokens = min(self._burst, bucket[0] + (now - bucket[1]) * self._per_second)
        if tokens < 1:
            return False
        self._buckets[prefix] = (tokens - 1, now)
        return True

    def would_allow(self, address: int, now: float) -> bool:
        """As `allow`, for who only looks: nothing is taken and nobody is learned."""
        bucket = self._buckets.get(prefix_of(address))
        return bucket is None or bucket[0] + (now - bucket[1]) * self._per_second >= 1

    def _sweep(self, now: float) -> bool:
        """Forget prefixes whose bucket is full again; whether there is room now."""
        if now < self._next_sweep:
            return False
        self._next_sweep = now + SWEEP_PAUSE_S
        refill_s = self._burst / self._per_second
        self._buckets = {prefix: bucket for prefix, bucket in self._buckets.items() if now - bucket[1] < refill_s}
        return len(self._buckets) < self._max_prefixes
