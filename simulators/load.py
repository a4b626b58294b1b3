"""Open-loop load: reports leave when they are due, answered or not, and afterwards each one is looked for in the
database. What a slow server delays is therefore seen as latency, not as a lower rate.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any, overload

import numpy as np

from metering.model import ContentFormat
from simulators import message
from simulators.admission import admit
from simulators.coap import Sender
from simulators.exchange import Exchange, Fate, Timers, count_end
from simulators.latency import Histogram
from simulators.local_time import DAY_S
from simulators.payloads import CborDays, Report, encode_json
from simulators.reconcile import Grid, Ledger, Reconciliation, reconcile
from simulators.synthetic import Plan, index_l, plan, serial
from simulators.target import Target

BURST = 256
PORT_RATE = 250
PORTS_MIN, PORTS_MAX = 16, 400
STATE = {"battery_mv": 3600, "rsrp_ddbm": -980, "snr_ddb": 60, "ecl": 0, "alarms": 0}
NOT_SENT, SENT, ANSWERED, REFUSED = 0, 1, 2, 3

Progress = Callable[["LoadRun"], None]


@dataclass(frozen=True, slots=True)
class LoadOptions:
    reports_per_second: float
    meters: int
    duration_s: float
    readings: int = 24
    content_format: ContentFormat = ContentFormat.CBOR
    verify: bool = True
    timers: Timers = field(default_factory=Timers)
    max_wait_s: float = 300.0


class LoadRun:
    """The state of one run: one byte per report, and counts."""

    def __init__(self, planned: Plan, options: LoadOptions) -> None:
        self.plan, self.options = planned, options
        self.states = bytearray(planned.reports)
        self.latency = Histogram()
        self.lag = Histogram()
        self.offered = self.answered = self.refused = self.unknown = self.skipped = 0
        self.codes: dict[str, int] = {}
        self.started = self.ended = 0.0
        self._days = CborDays(planned.interval_s, planned.deltas_l(), STATE)
        self._tails = [
            message.request_tail(("r", serial(meter)), options.content_format) + b"\xff"
            for meter in range(planned.meters)
        ]

    def tail(self, report: int) -> bytes:
        """Options and payload of a report."""
        number, meter = divmod(report, self.plan.meters)
        seq, t0 = self.plan.seq(number), self.plan.first_s + number * DAY_S
        if self.options.content_format == ContentFormat.CBOR:
            return self._tails[meter] + self._days.encode(seq, t0, index_l(meter, t0))
        readings = [(ts, index_l(meter, ts)) for ts in self.plan.instants(number)]
        return self._tails[meter] + encode_json(Report(seq, readings, STATE))

    def on_end(self, exchange: Exchange) -> None:
        report = exchange.tag
        assert isinstance(report, int)  # noqa: S101 - we set it, for the type checker
        if exchange.fate is Fate.ANSWERED:
            self.states[report] = ANSWERED
            self.latency.record(time.monotonic() - exchange.intended)
        elif exchange.fate is Fate.REFUSED:
            self.states[report] = REFUSED
        count_end(self, exchange)

    async def open_door(self, sender: Sender) -> None:
        """Send the first report of the meters registered last and first until the gateway knows them."""
        for number in {min(self.plan.meters, self.plan.reports) - 1, 0}:
            self.states[number] = SENT
            answer = await admit(sender, serial(number), self.tail(number), number)
            self.offered += 1
            if answer.fate is Fate.ANSWERED:
                self.answered += 1
                self.states[number] = ANSWERED
            else:
                self.refused += 1
                self.states[number] = REFUSED

    async def play(self, sender: Sender, progress: Progress | None = None) -> None:
        """Send every report at its instant, then wait until each has ended."""
        rate, total = self.options.reports_per_second, self.plan.reports
        self.started = start = time.monotonic() + 0.05
        report = 0
        shown = start
        while report < total:
            now = time.monotonic()
            due = min(total, report + BURST, int((now - start) * rate) + 1 if now >= start else 0)
            for number in range(report, due):
                self._offer(sender, number, start + number / rate, now)
            report = max(report, due)
            if progress is not None and now - shown > 0.2:
                progress(self)
                shown = now
            next_due = start + report / rate
            await asyncio.sleep(0 if next_due <= time.monotonic() else min(0.2, max(0.0005, next_due - now)))
        self.ended = time.monotonic()
        while sender.inflight:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(sender.room(1), 0.2)
            if progress is not None:
                progress(self)

    def _offer(self, sender: Sender, number: int, intended: float, now: float) -> None:
        if self.states[number] != NOT_SENT:
            return
        self.lag.record(max(0.0, now - intended))
        if sender.submit(self.tail(number), self.on_end, tag=number, intended=intended, lane=number % self.plan.meters):
            self.offered += 1
            self.states[number] = SENT
        else:
            self.skipped += 1

    def ledgers(self) -> LoadLedgers:
        return LoadLedgers(self.plan, self.states)


class LoadLedgers(Sequence[Ledger]):
    """A ledger per meter, made when asked for."""

    def __init__(self, planned: Plan, states: bytearray) -> None:
        self._plan = planned
        self._states = np.frombuffer(states, np.uint8)

    def __len__(self) -> int:
        return min(self._plan.meters, self._plan.reports)

    @overload
    def __getitem__(self, at: int) -> Ledger: ...
    @overload
    def __getitem__(self, at: slice) -> list[Ledger]: ...
    def __getitem__(self, at: int | slice) -> Ledger | list[Ledger]:
        if isinstance(at, slice):
            return [self._ledger(meter) for meter in range(*at.indices(len(self)))]
        return self._ledger(range(len(self))[at])

    def __iter__(self) -> Iterator[Ledger]:
        return map(self._ledger, range(len(self)))

    def _ledger(self, meter: int) -> Ledger:
        planned = self._plan
        states = self._states[meter :: planned.meters]
        sent = np.flatnonzero(states != NOT_SENT)
        ts_s = (planned.first_s + sent * 86_400)[:, None] + np.arange(planned.readings) * planned.interval_s
        day_0 = np.array([index_l(meter, ts) for ts in planned.instants(0)], np.int64)
        day_1 = np.array([index_l(meter, ts) for ts in planned.instants(1)], np.int64)
        index = day_0[None, :] + sent[:, None] * (day_1 - day_0)[None, :]
        return Ledger(
            device=serial(meter),
            seq=np.array([planned.seq(int(number)) for number in sent], np.int64),
            answered=states[sent] == ANSWERED,
            report=np.repeat(np.arange(len(sent)), planned.readings),
            ts_s=ts_s.ravel().astype(np.int64),
            index_l=index.ravel().astype(np.int64),
        )


@dataclass(slots=True)
class LoadResult:
    run: LoadRun
    sender: dict[str, int]
    reconciliation: Reconciliation | None

    @property
    def ok(self) -> bool:
        return self.reconciliation is None or self.reconciliation.ok

    def as_dict(self) -> dict[str, Any]:
        run, span_s = self.run, max(self.run.ended - self.run.started, 1e-9)
        return {
            "meters": run.plan.meters,
            "readings_per_report": run.plan.readings,
            "content_format": run.options.content_format.name.lower(),
            "reports_per_second_asked": run.options.reports_per_second,
            "reports_per_second_offered": round(run.offered / span_s, 1),
            "reports_per_second_answered": round(run.answered / span_s, 1),
            "duration_s": round(span_s, 3),
            "offered": run.offered,
            "answered": run.answered,
            "refused": run.refused,
            "unknown": run.unknown,
            "not_sent_too_many_open": run.skipped,
            "other_codes": run.codes,
            "latency_ms": run.latency.summary_ms(),
            "own_lag_ms": run.lag.summary_ms(),
            "sender": self.sender,
            "reconciliation": None if self.reconciliation is None else self.reconciliation.as_dict(),
        }


def ports_for(rate: float, meters: int) -> int:
    """Source ports: enough for the message ids of the rate, few enough for the limit of open files."""
    return max(1, min(meters, PORTS_MAX, max(PORTS_MIN, int(rate / PORT_RATE) + 1)))


async def run_load(
    target: Target, options: LoadOptions, progress: Progress | None = None, announce: Callable[[str], None] = print
) -> LoadResult:
    """Register, play, reconcile. Raises ValueError for numbers that cannot be, TargetError when the gateway does
    not take the meters."""
    began = datetime.now(UTC)
    offset_s = random.randrange(3600)  # noqa: S311 - tells runs apart, no secret
    planned = plan(
        options.reports_per_second, options.duration_s, options.meters, options.readings, time.time(), offset_s
    )
    if target.database_url:
        announce(f"registering {planned.meters} meters")
        await target.register([_import_row(meter) for meter in range(planned.meters)])
    run = LoadRun(planned, options)
    ports = ports_for(options.reports_per_second, planned.meters)
    async with Sender(target.coap_host, target.coap_port, ports=ports, timers=options.timers) as sender:
        await run.open_door(sender)
        announce(f"playing {planned.reports} reports")
        await run.play(sender, progress)
        counts = asdict(sender.counts)
    result = None
    if options.verify:
        announce("reconciling with the database")
        result = await reconcile(
            target.database_url, run.ledgers(), began, grid=_grid(planned), max_wait_s=options.max_wait_s
        )
    return LoadResult(run, counts, result)


def _grid(planned: Plan) -> Grid:
    modulus_s = min(3600, planned.interval_s)
    return Grid(modulus_s, planned.first_s % modulus_s, planned.seq_base)


def _import_row(meter: int) -> dict[str, str]:
    return {
        "serial": serial(meter), "maker": "nbwater", "model": "load generator", "dn_mm": "15", "q3_m3h": "2.5",
        "zone": "load", "address": f"load generator {meter}",
    }  # fmt: skip
