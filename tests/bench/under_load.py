"""A platform with a city of registered meters, under load: what was answered, how far ingest and settlement were behind
each second, and what each process used.

The meters report one real day after another, all of them in turn, so that every reading is new and none is late. The
first days lie DAYS back; a platform takes `Loaded.left` reports before its meters have caught up with today.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import asdict, dataclass, field
from typing import Any

import asyncpg
import numpy as np

from deploy.registration import register_rows
from simulators.admission import admit
from simulators.coap import Sender
from simulators.load import import_row
from simulators.local_time import DAY_S, UTC_OFFSET_S
from simulators.report_rows import ReportRows
from simulators.synthetic import Plan, serial
from tests.bench.flatness import Trend, trend
from tests.bench.generator import Order
from tests.bench.processes import Platform, python
from tests.bench.usage import Usage

DAYS = 100
READINGS = 24
SEQ_BASE = 1
IDLE_S = 600
SAMPLE_S = 1.0
OUR_NAME = "nbwater-bench"

Progress = Callable[[str], None]

_BEHIND = """
SELECT (SELECT coalesce(sum(received), 0)::bigint FROM accounting) AS taken,
       (SELECT count(*) FROM touched_spans) AS spans"""
_BACKENDS = """
SELECT pid, CASE WHEN datname = current_database() AND application_name <> '' THEN application_name
                 ELSE backend_type END AS served
FROM pg_stat_activity
WHERE (datname = current_database() AND application_name <> $1) OR (datname IS NULL)"""


@dataclass(frozen=True, slots=True)
class Sample:
    at_s: float
    """CLOCK_MONOTONIC."""
    taken: int
    """Reports that ingest has committed since the platform began."""
    spans: int
    """Touched spans that wait for settlement."""


@dataclass(slots=True)
class Played:
    """One load. `cpu_s`: by process, from its beginning to its end. `told`: (instant, answered) each second."""

    order: Order
    result: dict[str, Any]
    taken_before: int
    told: list[tuple[float, int]]
    samples: list[Sample]
    cpu_s: dict[str, float]
    peak: Usage
    latencies_s: Any
    """Array of the latency of each answered report."""

    @property
    def answered(self) -> int:
        return int(self.result["answered"])

    @property
    def during(self) -> list[Sample]:
        """Samples while reports came in."""
        began = self.result["began"]
        return [sample for sample in self.samples if began <= sample.at_s <= began + self.order.seconds]

    def answered_at(self, at_s: float) -> float:
        return float(np.interp(at_s, [t for t, _ in self.told], [answered for _, answered in self.told]))

    def backlog(self, sample: Sample) -> float:
        """Reports answered and not yet in the database."""
        return max(0.0, self.answered_at(sample.at_s) - (sample.taken - self.taken_before))

    def trends(self) -> tuple[Trend, Trend]:
        """Of the stream's backlog in reports, and of the touched spans."""
        samples = self.during
        seconds = [sample.at_s for sample in samples]
        return trend(seconds, [self.backlog(s) for s in samples]), trend(seconds, [float(s.spans) for s in samples])

    @property
    def behind_at_end(self) -> tuple[float, int]:
        """Reports not in the database, and spans not settled, when the last report was answered."""
        last = self.samples[-1]
        return self.backlog(last), last.spans


@dataclass(slots=True)
class Loaded:
    platform: Platform
    meters: int
    first_s: int
    next_report: int
    connection: Any = field(repr=False)

    async def play(self, **options: Any) -> Played:
        """Options of an Order. Raises RuntimeError when the generator fails."""
        arrays = self.platform.data / "generator.npz"
        order = Order(
            port=options.pop("port", self.platform.coap_port), meters=self.meters, first_s=self.first_s,
            seq_base=SEQ_BASE, first=self.next_report, readings=READINGS, arrays=str(arrays), **options,
        )  # fmt: skip
        taken_before = (await self.sample()).taken
        before, peak = await self.usage(), Usage()
        child = await asyncio.create_subprocess_exec(
            *python("tests.bench.generator", json.dumps(asdict(order))),
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        samples: list[Sample] = []
        sampling = asyncio.create_task(self._sample_often(samples, peak))
        try:
            output, errors = await child.communicate()
        finally:
            sampling.cancel()
            await asyncio.wait({sampling})
            if child.returncode is None:
                child.kill()
        if child.returncode != 0:
            raise RuntimeError(f"the load generator failed: {errors.decode()[-2000:]}")
        samples.append(await self.sample())
        lines = [json.loads(line) for line in output.splitlines()]
        result = lines.pop()["result"]
        self.next_report += result["offered"]
        cpu_s = (await self.usage()).since(before) | {"generator": result["cpu_s"]}
        peak.memory_mb["generator"] = result["memory_mb"]
        told = [(result["began"], 0), *((line["t"], line["answered"]) for line in lines)]
        latencies_s = np.load(arrays)["latency_s"]
        latencies_s = latencies_s[np.isfinite(latencies_s)]
        return Played(order, result, taken_before, told, samples, cpu_s, peak, latencies_s)

    async def _sample_often(self, samples: list[Sample], peak: Usage) -> None:
        while True:
            samples.append(await self.sample())
            peak.raise_peak(await self.usage())
            await asyncio.sleep(SAMPLE_S)

    async def sample(self) -> Sample:
        asked = time.monotonic()
        row = await self.connection.fetchrow(_BEHIND)
        return Sample((asked + time.monotonic()) / 2, row["taken"], row["spans"])

    async def usage(self) -> Usage:
        rows = await self.connection.fetch(_BACKENDS, OUR_NAME)
        return self.platform.usage({row["pid"]: row["served"] for row in rows})

    async def until_idle(self, seconds: float = IDLE_S) -> float:
        """Until everything is taken and settled; how long that took. Raises RuntimeError."""
        began = time.monotonic()
        taken, since = -1, began
        while (now := time.monotonic()) - began < seconds:
            sample = await self.sample()
            if sample.taken != taken or sample.spans:
                taken, since = sample.taken, now
            elif now - since >= 2 * SAMPLE_S:
                return since - began
            await asyncio.sleep(SAMPLE_S / 4)
        raise RuntimeError(f"the platform did not catch up within {seconds:.0f} s")


@contextlib.asynccontextmanager
async def loaded(platform: Platform, meters: int, pusher: str = "") -> AsyncIterator[Loaded]:
    """`platform` with so many meters registered at once, known to its gateways, and bound to the push product `pusher`
    where there is one."""
    binding = {"pushers": pusher} if pusher else {}
    await register_rows(platform.database_url, [import_row(meter) | binding for meter in range(meters)])
    today = (int(time.time()) + UTC_OFFSET_S) // DAY_S
    first_s = (today - DAYS - 1) * DAY_S - UTC_OFFSET_S
    rows = ReportRows(Plan(meters, meters, READINGS, first_s, SEQ_BASE))
    async with Sender("127.0.0.1", platform.coap_port, ports=1) as sender:
        for number in (meters - 1, 0):
            await admit(sender, serial(number), rows.tail(number))
    connection = await asyncpg.connect(platform.database_url, server_settings={"application_name": OUR_NAME})
    try:
        found = Loaded(platform, meters, first_s, meters, connection)
        await found.until_idle()
        yield found
    finally:
        await connection.close()
