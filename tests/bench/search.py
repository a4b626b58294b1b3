"""The highest rate that holds: grown until one does not, then the interval is halved."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

RATE_MAX = 64_000.0
LOWEST_SHARE = 1 / 16

Holds = Callable[[float], Awaitable[bool]]


async def highest(holds: Holds, first: float, bisections: int, growth: float = 2.0) -> float:
    """The highest of the rates tried that held; 0 when not even a sixteenth of `first` did."""
    low = await _lowered(holds, first, growth) if not await holds(first) else first
    if not low:
        return 0.0
    high = low * growth
    if low == first:
        while high <= RATE_MAX and await holds(high):
            low, high = high, high * growth
    for _ in range(bisections):
        middle = (low + high) / 2
        if await holds(middle):
            low = middle
        else:
            high = middle
    return low


async def _lowered(holds: Holds, first: float, growth: float) -> float:
    rate = first / growth
    while rate >= LOWEST_SHARE * first:
        if await holds(rate):
            return rate
        rate /= growth
    return 0.0
