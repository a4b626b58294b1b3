"""An operator's platform that pushes a town's meters over HTTP(S), with the retries and the pauses of the real one."""

from __future__ import annotations

import asyncio
import time
from array import array
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from simulators import message
from simulators.admission import admit
from simulators.coap import Sender
from simulators.http_line import Line, Receiver
from simulators.latency import summary_ms
from simulators.meter import Meter, Wire
from simulators.platform_rules import PAUSE_S, RETRIES, CoolDown, ctwing_push
from simulators.target import Target
from simulators.town_plan import make_meters

CONNECTIONS = 32
RETRY_PAUSE_S = 1.0
QUEUE_MAX = 10_000
MINUTE_S = 60


@dataclass(slots=True)
class PushCounts:
    offered: int = 0
    taken: int = 0
    failed: int = 0
    """After all retries."""
    never_pushed: int = 0
    """Came in while the platform paused."""
    retries: int = 0
    pauses: int = 0
    answers: Counter[str] = field(default_factory=Counter)


class PushPlatform:
    """`push` returns at once; use it as an asynchronous context manager, which ends when all have their answer."""

    def __init__(
        self,
        receiver: Receiver,
        pause_s: float = PAUSE_S,
        connections: int = CONNECTIONS,
        retry_s: float = RETRY_PAUSE_S,
    ) -> None:
        self._receiver, self._connections, self._retry_s = receiver, connections, retry_s
        self._cool_down = CoolDown(pause_s)
        self._queue: asyncio.Queue[tuple[bytes, float]] = asyncio.Queue(QUEUE_MAX)
        self._workers: list[asyncio.Task[None]] = []
        self.counts = PushCounts()
        self.latencies_s = array("f")
        """Seconds from when a push was due to its first answer."""
        self.taken: list[bytes] = []
        """Bodies answered 200, when `keep` is set: what must be in custody."""
        self.keep = False

    async def __aenter__(self) -> PushPlatform:
        self._workers = [asyncio.create_task(self._work()) for _ in range(self._connections)]
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._queue.join()
        for worker in self._workers:
            worker.cancel()
        await asyncio.gather(*self._workers, return_exceptions=True)

    def push(self, body: bytes) -> None:
        """A message of a device has come in. While the platform pauses, or has too many, it is never pushed."""
        now = time.monotonic()
        self.counts.offered += 1
        if self._cool_down.is_pausing(now) or self._queue.full():
            self.counts.never_pushed += 1
        else:
            self._queue.put_nowait((body, now))

    async def _work(self) -> None:
        """One kept-alive connection."""
        async with Line(self._receiver) as line:
            while True:
                body, due = await self._queue.get()
                try:
                    await self._deliver(line, body, due)
                finally:
                    self._queue.task_done()

    async def _deliver(self, line: Line, body: bytes, due: float) -> None:
        taken = False
        for attempt in range(1 + RETRIES):
            if attempt:
                self.counts.retries += 1
                await asyncio.sleep(self._retry_s)
            status = await line.post(body)
            if not attempt:
                self.latencies_s.append(time.monotonic() - due)
            self.counts.answers[status] += 1
            if taken := status == "200":
                break
        self.counts.taken += taken
        self.counts.failed += not taken
        if taken and self.keep:
            self.taken.append(body)
        self._cool_down.pushed(taken, time.monotonic())
        self.counts.pauses = self._cool_down.pauses


@dataclass(frozen=True, slots=True)
class PushedTown:
    """Meters that reach the platform only through CTWing."""

    meters: int
    pushes_per_second: float
    duration_s: float
    seed: int = 7
    pause_s: float = PAUSE_S
    product: str = ""
    """Name of the product that pushes: the meters are bound to it; empty: they are as they are."""


def pushed_meters(seed: int, count: int) -> list[Meter]:
    """They speak CJ/T 188, as most meters behind such platforms do, and all of them have an IMEI."""
    meters = make_meters(seed, count)
    return [
        replace(meter, wire=Wire.VENDOR if meter.number % 2 else Wire.STANDARD) for meter in meters if meter.label.imei
    ]


async def _known(target: Target, meter: Meter) -> None:
    """Registered devices reach the gateway some moments later; it would call them unknown until then."""
    now_s = int(time.time())
    first = meter.since(now_s - 1, now_s)
    tail = message.request_tail(("r", meter.name), first.content_format, first.payload)
    async with Sender(target.coap_host, target.coap_port, ports=1) as sender:
        await admit(sender, meter.name, tail)


async def run_pushed_town(target: Target, receiver: Receiver, options: PushedTown) -> dict[str, Any]:
    """Each meter in turn, one report a minute of simulated time, at a steady rate. The counts, and latencies in ms.

    Raises TargetError when the gateway does not come to know the meters.
    """
    meters = pushed_meters(options.seed, options.meters)
    if target.database_url:
        binding = {"pushers": options.product} if options.product else {}
        await target.register([meter.label.import_row() | binding for meter in meters])
        await _known(target, meters[-1])
    platform = PushPlatform(receiver, options.pause_s)
    async with platform:
        started, start_s = time.monotonic(), int(time.time()) - MINUTE_S
        for number in range(round(options.pushes_per_second * options.duration_s)):
            await asyncio.sleep(started + number / options.pushes_per_second - time.monotonic())
            meter = meters[number % len(meters)]
            due_s = start_s + number // len(meters)
            frame = meter.since(due_s - 1, due_s).payload
            platform.push(ctwing_push(meter.label.imei, frame, due_s * 1000, number))
    counts = platform.counts
    return {
        "offered": counts.offered, "taken": counts.taken, "failed": counts.failed, "never_pushed": counts.never_pushed,
        "retries": counts.retries, "pauses": counts.pauses, "answers": dict(counts.answers),
        "latency_ms": summary_ms(np.array(platform.latencies_s, np.float32)),
    }  # fmt: skip
