"""A midnight: 200,000 registered meters report within a minute, each a CoAP client of its own with NB-IoT's timers
(ACK_TIMEOUT 10 s, times 1 to 1.5, doubled at each of four retransmissions; a 5.03 is tried again after its Max-Age).

Twice: at random instants of a minute, and all within a few seconds, faster than custody can take them.
"""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np

from tests.bench import curves
from tests.bench.processes import Platform, platform
from tests.bench.sections import Progress
from tests.bench.under_load import Loaded, Played, loaded

METERS = 200_000
MINUTE_S = 60.0
SHARP_S = 5.0


def measure(progress: Progress, *, quick: bool = False) -> dict[str, Any]:
    """The keys `midnight.*` of bench.json; those of the second burst begin with `sharp_`."""
    with platform() as under_test:
        return asyncio.run(_measure(under_test, progress, quick))


async def _measure(under_test: Platform, progress: Progress, quick: bool) -> dict[str, Any]:
    meters = 5_000 if quick else METERS
    async with loaded(under_test, meters) as city:
        within = await _burst(city, 10.0 if quick else MINUTE_S, progress)
        settled_s = await city.until_idle()
        sharp = await _burst(city, 1.0 if quick else SHARP_S, progress)
        await city.until_idle()
    curves.over_time(
        {f"due within {played.order.seconds:.0f} s": answered_over_time(played) for played in (within, sharp)},
        "bench-midnight",
        f"{meters:,} meters report at midnight",
        "reports answered",
    )
    figures = {"meters": meters, **figures_of(within), "settled_s_after_the_last_answer": settled_s}
    return figures | {f"sharp_{name}": value for name, value in figures_of(sharp).items()}


async def _burst(city: Loaded, seconds: float, progress: Progress) -> Played:
    played = await city.play(rate=city.meters / seconds, seconds=seconds, burst=True)
    found = figures_of(played)
    progress(f"midnight, all due within {seconds:.0f} s: {found}")
    return played


def figures_of(played: Played) -> dict[str, Any]:
    result = played.result
    return {
        "due_within_s": played.order.seconds,
        "all_answered_after_s": result["last_answer_s"],
        "answered": result["answered"],
        "refused": result["refused"],
        "gave_up": result["gave_up"],
        "retransmissions": result["retransmissions"],
        "told_to_come_later": result["unavailable_retries"],
        "p50_ms": result["latency_ms"]["p50"],
        "p99_ms": result["latency_ms"]["p99"],
    }


def answered_over_time(played: Played) -> tuple[Any, Any]:
    return np.array([at for at, _ in played.told]) - played.result["began"], [count for _, count in played.told]
