"""End to end, everything on: the highest rate the whole platform sustains, beside the plain stack in the same run, and
the latency at half of it. The generator shares the machine.

A short step holds when nearly every report was answered, and what is not in the database, or not settled, when it ends
came in within a few seconds. The rate found is then held for five minutes, in which a line through the samples of both
backlogs must not rise (tests/bench/flatness.py); where it does, or where it already does in a trial, a lower rate is
taken.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from tests.bench import curves
from tests.bench.disk import bytes_per_reading
from tests.bench.flatness import GROWTH_SHARE
from tests.bench.plain import plain_rate
from tests.bench.processes import Platform, platform
from tests.bench.search import highest
from tests.bench.sections import Progress, Sections
from tests.bench.under_load import READINGS, Loaded, Played, loaded

METERS = 100_000
FIRST_RATE = 3_000.0
STEP_S = 10.0
TRIAL_S = 45.0
TRIAL_GROWTH_SHARE = 0.03
"""Settlement goes in rounds, so that a short line is never quite flat."""
HOLD_S = 300.0
LATENCY_S = 60.0
TRIAL_SHARE = 0.8
"""Of the rate that ten seconds held: what they leave behind is made up for in the pause after them."""
HOLDS = 3
TRIALS = 6
LOWER = 0.9
BISECTIONS = 2
ANSWERED_SHARE = 0.999
BEHIND_S = 3.0


@dataclass(frozen=True, slots=True)
class Lengths:
    """Quick ones try the benchmark, their figures say nothing."""

    meters: int = METERS
    step_s: float = STEP_S
    trial_s: float = TRIAL_S
    hold_s: float = HOLD_S
    latency_s: float = LATENCY_S
    plain_s: float = 10.0


SHORTER = Lengths(hold_s=120.0, latency_s=30.0, plain_s=0.0)
QUICK = Lengths(meters=5_000, step_s=4.0, trial_s=6.0, hold_s=12.0, latency_s=6.0, plain_s=4.0)


@dataclass(slots=True)
class Run:
    """One platform's turn."""

    city: Loaded
    lengths: Lengths
    progress: Progress

    async def step_holds(self, rate: float) -> bool:
        played = await self.city.play(rate=rate, seconds=self.lengths.step_s)
        reports, spans = played.behind_at_end
        held = is_answered(played) and max(reports, float(spans)) <= BEHIND_S * rate
        tell(self.progress, "end to end", played, held)
        await self.city.until_idle()
        return held

    async def held(self, rate: float) -> tuple[Played, bool]:
        """The first of a few falling rates whose backlogs stay flat, else the last that was tried; which of both.
        `rate` is the first."""
        holds = 0
        for _ in range(TRIALS):
            played, flat = await self._flat_at(rate, self.lengths.trial_s, TRIAL_GROWTH_SHARE)
            if flat:
                played, flat = await self._flat_at(rate, self.lengths.hold_s, GROWTH_SHARE)
                holds += 1
                if flat or holds == HOLDS:
                    return played, flat
            rate *= LOWER
        return played, False

    async def _flat_at(self, rate: float, seconds: float, growth_share: float) -> tuple[Played, bool]:
        played = await self.city.play(rate=rate, seconds=seconds)
        flat = is_answered(played) and all(trend.is_flat(rate, growth_share) for trend in played.trends())
        tell(self.progress, f"for {seconds:.0f} s", played, flat)
        await self.city.until_idle()
        return played, flat


def is_answered(played: Played) -> bool:
    result = played.result
    return bool(result["answered"] >= ANSWERED_SHARE * result["offered"])


def tell(progress: Progress, label: str, played: Played, held: bool) -> None:
    latency, (reports, spans) = played.result["latency_ms"], played.behind_at_end
    progress(
        f"{label} {played.order.rate:,.0f} reports/s: {'held' if held else 'NOT held'}, answered "
        f"{played.answered}/{played.result['offered']}, p50 {latency['p50']} p99 {latency['p99']} ms, "
        f"{reports:,.0f} reports and {spans:,} spans behind"
    )


def measure(progress: Progress, *, quick: bool = False, server_url: str | None = None) -> Sections:
    """The sections `end_to_end`, `latency_ms`, `cpu_share` (of one core, at half rate), `cpu_us_per_report` and
    `memory_mb` (at the rate held) and `disk` of bench.json."""
    lengths = QUICK if quick else Lengths()
    with platform(server_url=server_url) as under_test:
        return asyncio.run(_measure(under_test, lengths, progress))


def measure_shortly(progress: Progress, *, quick: bool = False, server_url: str | None = None) -> dict[str, Any]:
    """The figures of `end_to_end` in one section, without the plain stack, the rate held for a shorter time."""
    lengths = QUICK if quick else SHORTER
    with platform(server_url=server_url) as under_test:
        found = asyncio.run(_measure(under_test, lengths, progress, "bench-end-to-end-timescale"))
    latency = {f"half_rate_{key}": value for key, value in found["latency_ms"].items()}
    return found["end_to_end"] | latency | {key: found[key] for key in ("cpu_us_per_report", "memory_mb", "disk")}


async def _measure(
    under_test: Platform, lengths: Lengths, progress: Progress, curve: str = "bench-end-to-end"
) -> Sections:
    async with loaded(under_test, lengths.meters) as city:
        progress(f"{lengths.meters:,} meters registered")
        run = Run(city, lengths, progress)
        rate = await highest(run.step_holds, FIRST_RATE, BISECTIONS)
        if not rate:
            raise RuntimeError("not even a sixteenth of the first rate held")
        held, flat = await run.held(TRIAL_SHARE * rate)
        half = await city.play(rate=held.order.rate / 2, seconds=lengths.latency_s)
        tell(progress, "latency at half rate,", half, is_answered(half))
        stored = await bytes_per_reading(city.connection)
        plain = await plain_rate(under_test.database_url, city, lengths.plain_s, progress) if lengths.plain_s else None
    curves.sustained(held, curve)
    label = f"{half.order.rate:,.0f} reports/s"
    curves.latency({label: half.latencies_s}, f"{curve}-latency", "CoAP answers at half of the rate that was held")
    return sections_of(held, flat, half, plain, lengths.step_s) | {"disk": stored}


def sections_of(held: Played, flat: bool, half: Played, plain: float | None, step_s: float) -> Sections:
    seconds = held.order.seconds
    rate = held.answered / seconds
    stream, spans = held.trends()
    latency = half.result["latency_ms"]
    return {
        "end_to_end": {
            "reports_per_s": rate,
            "readings_per_s": rate * READINGS,
            "plain_stack_reports_per_s": plain,
            "ratio_to_plain_stack": rate / plain if plain else None,
            "backlogs_flat": flat,
            "held_s": seconds,
            "seconds_per_step": step_s,
            "registered_meters": held.order.meters,
            "stream_backlog_growth_reports_per_s": stream.growth_per_s,
            "stream_backlog_highest_reports": stream.highest,
            "span_backlog_growth_per_s": spans.growth_per_s,
            "span_backlog_highest": spans.highest,
            "p50_ms": held.result["latency_ms"]["p50"],
            "p99_ms": held.result["latency_ms"]["p99"],
        },
        "latency_ms": {"reports_per_s": half.order.rate, **{key: latency[key] for key in ("p50", "p99", "p999")}},
        "cpu_share": {name: cpu_s / half.order.seconds for name, cpu_s in used(half.cpu_s).items()},
        "cpu_us_per_report": {name: cpu_s / held.answered * 1e6 for name, cpu_s in used(held.cpu_s).items()},
        "memory_mb": with_postgres(held.peak.memory_mb),
    }  # fmt: skip


def used(cpu_s: dict[str, float]) -> dict[str, float]:
    """What spent next to nothing is left out; the sums are added."""
    total = sum(cpu_s.values())
    spent = {name: value for name, value in sorted(cpu_s.items()) if value > 0.001 * total}
    return with_postgres(spent) | {"all": total}


def with_postgres(by_name: dict[str, float]) -> dict[str, float]:
    """With the sum over PostgreSQL's processes."""
    return by_name | {"postgres": sum(value for name, value in by_name.items() if name.startswith("postgres"))}


def profile(progress: Progress, rate: float, *, quick: bool = False) -> Sections:
    """CPU microseconds a report of each process at one fixed rate, all that it entails included: from the first report
    until the last one is settled."""
    lengths = QUICK if quick else Lengths()
    seconds = 15.0 if quick else lengths.latency_s

    async def run(under_test: Platform) -> Sections:
        async with loaded(under_test, 20_000 if quick else lengths.meters) as city:
            before = await city.usage()
            played = await city.play(rate=rate, seconds=seconds)
            tell(progress, "profile", played, is_answered(played))
            drained_s = await city.until_idle()
            cpu_s = (await city.usage()).since(before) | {"generator": played.cpu_s["generator"]}
            latency = played.result["latency_ms"]
            return {
                "profile": {"reports_per_s": rate, "drained_after_s": drained_s, "p50_ms": latency["p50"]},
                "cpu_us_per_report": {name: value / played.answered * 1e6 for name, value in used(cpu_s).items()},
            }

    with platform() as under_test:
        return asyncio.run(run(under_test))
