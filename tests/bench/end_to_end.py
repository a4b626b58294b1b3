"""End to end: the highest rate the whole platform sustains, beside the plain stack, and the latency at half of it.

Sustained means: for `SECONDS` nearly every report was answered, and neither the stream's backlog nor the spans waiting
for settlement grew beyond what a few seconds bring in. The generator shares the machine.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg

from tests.bench.processes import Platform, free_udp_port, platform, process, python

SECONDS = 15
METERS = 5_000
READINGS = 24
ANSWERED_SHARE = 0.995
BACKLOG_S = 5.0
FIRST_RATE = 1_000.0
FIRST_PLAIN_RATE = 250.0
RATE_MAX = 40_000.0
BISECTIONS = 2

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Step:
    rate: float
    result: dict[str, Any]
    unsettled_reports: float
    """Reports answered but not yet in the database, or whose consumption was not settled, when the load ended."""

    @property
    def sustained(self) -> bool:
        answered = self.result["answered"] >= ANSWERED_SHARE * self.result["offered"]
        in_time = self.result["reports_per_second_offered"] >= ANSWERED_SHARE * self.rate
        return bool(answered and in_time and self.unsettled_reports <= BACKLOG_S * self.rate)


def measure(progress: Progress, env: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """The sections `end_to_end`, `latency_ms`, `cpu_share` and `memory_mb` of bench.json."""
    with tempfile.TemporaryDirectory(prefix="nbwater-bench-") as folder, platform(Path(folder), env) as under_test:
        best = _search(lambda rate: _platform_step(under_test, rate, progress), FIRST_RATE)
        before, began = under_test.usage(), time.monotonic()
        half = _platform_step(under_test, best.rate / 2, progress, "latency at half rate")
        used, elapsed = under_test.usage(), time.monotonic() - began
        plain = _search(lambda rate: _plain_step(under_test, rate, progress), FIRST_PLAIN_RATE)
    rate, plain_rate = (step.result["reports_per_second_answered"] for step in (best, plain))
    latency = half.result["latency_ms"]
    return {
        "end_to_end": {
            "reports_per_s": rate,
            "readings_per_s": rate * READINGS,
            "plain_stack_reports_per_s": plain_rate,
            "ratio_to_plain_stack": rate / plain_rate,
            "seconds_per_step": SECONDS,
        },
        "latency_ms": {"reports_per_s": half.rate, **{key: latency[key] for key in ("p50", "p99", "p999")}},
        "cpu_share": {name: (used[name][0] - before[name][0]) / elapsed for name in used if name in before},
        "memory_mb": {name: memory for name, (_, memory) in used.items()},
    }


def _search(step: Callable[[float], Step], first: float) -> Step:
    """Double until a rate is not sustained, then halve the interval."""
    good, low, high = None, 0.0, first
    while high <= RATE_MAX:
        tried = step(high)
        if not tried.sustained:
            break
        good, low, high = tried, high, high * 2
    for _ in range(BISECTIONS):
        tried = step((low + high) / 2)
        if tried.sustained:
            good, low = tried, tried.rate
        else:
            high = tried.rate
    if good is None:
        raise RuntimeError(f"not even {high:.0f} reports/s were sustained")
    return good


def _platform_step(under_test: Platform, rate: float, progress: Progress, label: str = "end to end") -> Step:
    result = _load(under_test, under_test.coap_port, rate)
    step = Step(rate, result, _unsettled(under_test, result))
    _tell(progress, label, step)
    _wait_idle(under_test)
    return step


def _plain_step(under_test: Platform, rate: float, progress: Progress) -> Step:
    port = free_udp_port()
    with process(python("tests.bench.plain_stack", str(port), under_test.database_url)) as child:
        assert child.stdout is not None
        child.stdout.readline()
        step = Step(rate, _load(under_test, port, rate), 0.0)
    _tell(progress, "plain stack", step)
    return step


def _tell(progress: Progress, label: str, step: Step) -> None:
    word = "sustained" if step.sustained else "NOT sustained"
    latency = step.result["latency_ms"]
    progress(
        f"{label} {step.rate:,.0f} reports/s: {word}, answered {step.result['answered']}/{step.result['offered']}, "
        f"p50 {latency['p50']} p99 {latency['p99']} ms, {step.unsettled_reports:,.0f} reports behind"
    )


def _load(under_test: Platform, port: int, rate: float) -> dict[str, Any]:
    options = ["--reports-per-second", str(rate), "--meters", str(METERS), "--duration", str(SECONDS), "--no-verify"]
    command = python("deploy", "simulate", "--data", str(under_test.data), "--coap-port", str(port), "load", *options)
    done = subprocess.run([*command, "--readings", str(READINGS)], check=False, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"the load generator failed: {done.stderr[-2000:]}")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


_BEHIND = """
SELECT (SELECT coalesce(sum(received), 0)::bigint FROM accounting) AS taken,
       (SELECT count(*) FROM touched_spans) AS spans"""


def _ask(url: str, query: str) -> asyncpg.Record:
    async def ask() -> asyncpg.Record:
        connection = await asyncpg.connect(url)
        try:
            return await connection.fetchrow(query)
        finally:
            await connection.close()

    return asyncio.run(ask())


def _unsettled(under_test: Platform, result: dict[str, Any]) -> float:
    """Right after the load: what was answered minus what ingest has taken, plus what settlement has before it."""
    row = _ask(under_test.database_url, _BEHIND)
    return max(0, under_test.taken_before + result["answered"] - row["taken"]) + float(row["spans"])


def _wait_idle(under_test: Platform) -> None:
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        first = _ask(under_test.database_url, _BEHIND)
        time.sleep(1.0)
        second = _ask(under_test.database_url, _BEHIND)
        if second["spans"] == 0 and first["taken"] == second["taken"]:
            under_test.taken_before = int(second["taken"])
            return
    raise RuntimeError("the platform did not catch up within 300 s")
