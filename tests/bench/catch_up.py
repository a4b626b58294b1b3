"""Catch-up: ingest and settlement stand still while reports come in as fast as custody takes them, ten million readings
or more; then they go on. How fast the backlog goes, in rows a second, and how long settlement needs after that.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

from tests.bench import curves
from tests.bench.custody import STANDING_STILL, WINDOW
from tests.bench.processes import Platform, platform
from tests.bench.sections import Progress
from tests.bench.under_load import READINGS, Loaded, Sample, loaded

METERS = 100_000
BACKLOG_READINGS = 10_000_000
FILL_S = 15.0
FILLS = 12
PATIENCE_S = 400.0
SAMPLE_S = 0.5


def measure(progress: Progress, *, quick: bool = False) -> dict[str, Any]:
    """The keys `catch_up.*` of bench.json; the ratio to the writer's rate is added where both are known."""
    with platform() as under_test:
        return asyncio.run(_measure(under_test, progress, quick))


async def _measure(under_test: Platform, progress: Progress, quick: bool) -> dict[str, Any]:
    wanted = BACKLOG_READINGS // 100 if quick else BACKLOG_READINGS
    async with loaded(under_test, 5_000 if quick else METERS) as city:
        before = (await city.sample()).taken
        with under_test.stopped(*STANDING_STILL):
            reports, codes = 0, {}
            for _ in range(FILLS):
                if reports * READINGS >= wanted:
                    break
                played = await city.play(seconds=2.0 if quick else FILL_S, window=WINDOW)
                reports, codes = reports + played.answered, played.result["codes"]
            progress(f"{reports:,} reports wait in the stream; other answers {codes or 'none'}")
            usage = await city.usage()
            began = time.monotonic()
        samples = await _drained(city, before + reports)
        cpu_s = (await city.usage()).since(usage)
    return figures(samples, began, before, reports, cpu_s)


def figures(samples: list[Sample], began: float, before: int, reports: int, cpu_s: dict[str, float]) -> dict[str, Any]:
    taken_at = next(sample.at_s for sample in samples if sample.taken >= before + reports)
    ended = samples[-1].at_s
    seconds = [sample.at_s - began for sample in samples]
    curves.over_time(
        {
            "reports that wait in the stream": (seconds, [before + reports - sample.taken for sample in samples]),
            "touched spans": (seconds, [sample.spans for sample in samples]),
        },
        "bench-catch-up",
        f"Catch-up from {reports * READINGS / 1e6:.1f} million readings",
        "waiting",
    )
    return {
        "backlog_readings": reports * READINGS,
        "rows_per_s": reports * READINGS / (taken_at - began),
        "ingest_s": taken_at - began,
        "settled_after_s": ended - began,
        "settled_reports_per_s": reports / (ended - began),
        "spans_highest": max(sample.spans for sample in samples),
        "cpu_us_per_report": {name: value / reports * 1e6 for name, value in cpu_s.items()},
    }


async def _drained(city: Loaded, taken: int) -> list[Sample]:
    """Samples until all is taken and settled. Raises RuntimeError."""
    deadline = time.monotonic() + PATIENCE_S
    samples: list[Sample] = []
    while time.monotonic() < deadline:
        samples.append(await city.sample())
        if samples[-1].taken >= taken and not samples[-1].spans:
            return samples
        await asyncio.sleep(SAMPLE_S)
    last = samples[-1]
    raise RuntimeError(f"after {PATIENCE_S:.0f} s {taken - last.taken} reports and {last.spans} spans still wait")
