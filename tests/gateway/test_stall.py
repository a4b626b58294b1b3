from __future__ import annotations

import asyncio

from gateway.stall import watch_stalls


async def test_a_stall_is_told_in_seconds() -> None:
    now = 0.0
    seen: list[float] = []

    def clock() -> float:
        nonlocal now
        now += 0.25  # this is what the loop does not do in time
        return now

    watch = asyncio.create_task(watch_stalls(seen.append, clock, period_s=0.001))
    while len(seen) < 3:  # noqa: ASYNC110 - the watch has no event, and needs none
        await asyncio.sleep(0)
    watch.cancel()
    assert [round(lateness, 3) for lateness in seen[:3]] == [0.249, 0.249, 0.249]
