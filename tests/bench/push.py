"""HTTPS pushes at the rate of the budget: how soon each is answered, from the instant it was due.

As CTWing posts: a daily report of each meter in turn, over kept-alive TLS connections, open loop, with everything of
the platform at work. Beside it what the gateway itself saw: from a push's last byte to its answer, and how long the
stream took for a batch, of which its disk is nearly all.
"""

from __future__ import annotations

import asyncio
import time
from array import array
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import numpy as np

from deploy.cluster.bed import certificates
from simulators.http_line import Line, Receiver
from simulators.latency import summary_ms
from simulators.platform_rules import ctwing_push
from simulators.report_rows import ReportRows
from simulators.synthetic import Plan, serial
from tests.bench.processes import platform
from tests.bench.sections import Progress
from tests.bench.under_load import READINGS, SEQ_BASE, Loaded, loaded

METERS = 2_000
PUSHES_PER_S, SECONDS, QUICK_SECONDS, WARM_S = 500.0, 30.0, 3.0, 3.0
CONNECTIONS = 128
"""Enough for what is under way while a push takes a quarter of a second."""

WITHIN_S = 0.02
PRODUCT = "east"
PATH = "0123456789abcdefghij"
HISTOGRAMS = {"gateway": "nbwater_gateway_push_answer_seconds", "stream": "nbwater_gateway_publish_seconds"}


@dataclass(slots=True)
class Sent:
    """Latencies in seconds; `late_s`: how late the sender itself was."""

    latencies_s: array[float] = field(default_factory=lambda: array("f"))
    late_s: array[float] = field(default_factory=lambda: array("f"))
    answers: Counter[str] = field(default_factory=Counter)


def measure(progress: Progress, *, quick: bool = False) -> dict[str, Any]:
    """The keys `push.*` of bench.json."""
    with TemporaryDirectory(prefix="nbwater-push-") as folder:
        tls, products = Path(folder, "tls"), Path(folder, "push.toml")
        certificates.make(tls, {"server": "127.0.0.1"})
        products.write_text(f'[[products]]\nname = "{PRODUCT}"\nplatform = "ctwing"\nsecret_path = "{PATH}"\n')
        products.chmod(0o600)
        environment = {
            "NBWATER_PUSH_PORT": "0", "NBWATER_PUSH_PRODUCTS_FILE": str(products),
            "NBWATER_PUSH_TLS_CERTIFICATE": str(tls / "server.pem"), "NBWATER_PUSH_TLS_KEY": str(tls / "server.key"),
        }  # fmt: skip
        with platform(environment) as under_test:
            programs: Any = under_test.instance["programs"]
            receiver = Receiver(
                f"https://127.0.0.1:{programs['gateway']['push_port']}/push/{PATH}", ca=str(tls / "ca.pem")
            )
            metrics_url = f"http://127.0.0.1:{programs['gateway']['metrics_port']}/metrics"

            async def run() -> dict[str, Any]:
                async with loaded(under_test, METERS, PRODUCT) as city:
                    return await _measure(city, receiver, metrics_url, progress, QUICK_SECONDS if quick else SECONDS)

            return asyncio.run(run())


async def _measure(
    city: Loaded, receiver: Receiver, metrics_url: str, progress: Progress, seconds: float
) -> dict[str, Any]:
    bodies = _bodies(city.first_s, round(PUSHES_PER_S * (WARM_S + seconds)))
    warm = round(PUSHES_PER_S * WARM_S)
    async with AsyncExitStack() as stack:
        lines = [await stack.enter_async_context(Line(receiver)) for _ in range(CONNECTIONS)]
        for line, body in zip(lines, bodies, strict=False):
            await line.post(body)  # shakes hands, one after the other
        await _send(lines, bodies[len(lines) : warm])
        usage, seen = await city.usage(), await _histograms(metrics_url)
        sent = await _send(lines, bodies[warm:])
        cpu_s, now = (await city.usage()).since(usage), await _histograms(metrics_url)
    count = len(sent.latencies_s)
    found = {
        "pushes_per_s": PUSHES_PER_S,
        "seconds": seconds,
        "answers": dict(sent.answers),
        **{f"{name}_ms": value for name, value in summary_ms(np.array(sent.latencies_s, np.float32)).items()},
        "sender_late_p99_ms": summary_ms(np.array(sent.late_s, np.float32))["p99"],
        **{f"{name}_within_20_ms": _share(seen[name], now[name]) for name in HISTOGRAMS},
        "body_bytes": len(bodies[0]),
        "cpu_us_per_push": {name: 1e6 * spent / count for name, spent in cpu_s.items()},
    }
    progress(
        f"push, {PUSHES_PER_S:.0f}/s for {seconds:.0f} s: p50 {found['p50_ms']}, p99 {found['p99_ms']}, p99.9 "
        f"{found['p999_ms']} ms; within 20 ms of the gateway {found['gateway_within_20_ms']:.4f}, of its publishes "
        f"{found['stream_within_20_ms']:.4f}; {found['cpu_us_per_push']['gateway']:.0f} us of the gateway a push"
    )
    return found


def _bodies(first_s: int, count: int) -> list[bytes]:
    """Reports that nobody has sent, all of them different."""
    days = -(-count // METERS) + 1
    rows = ReportRows(Plan(days * METERS, METERS, READINGS, first_s, SEQ_BASE))
    return [
        ctwing_push(serial(number % METERS), rows.payload(METERS + number), first_s * 1000, number)
        for number in range(count)
    ]


async def _send(lines: Sequence[Line], bodies: Sequence[bytes]) -> Sent:
    """Each body at its instant, on whichever line is free then; one that finds none waits, and its wait counts."""
    sent, due = Sent(), asyncio.Queue[tuple[bytes, float]]()

    async def work(line: Line) -> None:
        while True:
            body, due_s = await due.get()
            sent.answers[await line.post(body)] += 1
            sent.latencies_s.append(time.monotonic() - due_s)
            due.task_done()

    workers = [asyncio.create_task(work(line)) for line in lines]
    began = time.monotonic()
    for number, body in enumerate(bodies):
        due_s = began + number / PUSHES_PER_S
        if (left_s := due_s - time.monotonic()) > 0:
            await asyncio.sleep(left_s)
        sent.late_s.append(time.monotonic() - due_s)
        due.put_nowait((body, due_s))
    await due.join()
    for worker in workers:
        worker.cancel()
    await asyncio.gather(*workers, return_exceptions=True)
    return sent


async def _histograms(metrics_url: str) -> dict[str, tuple[float, float]]:
    """Of each: how many there were within WITHIN_S, and in all."""
    async with httpx.AsyncClient() as client:
        text = (await client.get(metrics_url, timeout=60)).text
    said = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    return {
        name: (float(said[f'{metric}_bucket{{le="{WITHIN_S}"}}']), float(said[f"{metric}_count"]))
        for name, metric in HISTOGRAMS.items()
    }


def _share(before: tuple[float, float], now: tuple[float, float]) -> float:
    return (now[0] - before[0]) / max(1.0, now[1] - before[1])
