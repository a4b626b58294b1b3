"""How long the event loop keeps what is due waiting: seen by a timer that looks how late it is called."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

PERIOD_S = 0.02
"""Short, or a stall would seldom fall on it; a stall of s seconds is seen as s - PERIOD_S at least."""


async def watch_stalls(
    observe: Callable[[float], object], clock: Callable[[], float], period_s: float = PERIOD_S
) -> None:
    """Tell `observe` the lateness of each call in seconds, until cancelled."""
    while True:
        due_at = clock() + period_s
        await asyncio.sleep(period_s)
        observe(max(0.0, clock() - due_at))
