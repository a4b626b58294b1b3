"""Open-loop load: reports leave when they are due, answered or not, and afterwards each one is looked for in the
database. What a slow server delays is therefore seen as latency, not as a lower rate.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any, overload

import numpy as np

from metering.model import ContentFormat
from simulators.admission import TargetError, admit, admit_by
from simulators.coap import Sender
from simulators.exchange import Timers
from simulators.exchange_table import ANSWERED, NOT_SENT, REFUSED, UNKNOWN, ExchangeTable
from simulators.keys import NUMBERS_A_SECOND, first_number, key_row
from simulators.latency import summary_ms
from simulators.protected_rows import ProtectedRows
from simulators.protected_sender import ProtectedSender
from simulators.reconcile import Grid, Ledger, Reconciliation, reconcile
from simulators.report_rows import ReportRows
from simulators.synthetic import Plan, index_l, plan, serial
from simulators.target import Target
from simulators.volley import Volley, ports_for

START_PAUSE_S = 0.05
GREETINGS = 256
"""Meters that greet at once."""

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
    oscore: bool = False
    """Meters have keys and use them."""


class LoadRun:
    """The state of one run."""

    def __init__(self, planned: Plan, options: LoadOptions) -> None:
        self.plan, self.options = planned, options
        self.started = self.ended = time.monotonic()
        due_s = np.arange(planned.reports) / options.reports_per_second
        self.table = ExchangeTable(due_s, ports_for(options.reports_per_second), options.timers)
        self.rows = ReportRows(planned, options.content_format)
        self.first_number = first_number(time.time())
        self.sender: dict[str, int] = {}
        self.codes: dict[str, int] = {}
        self.is_enough = False
        """Set by whoever watches the run, in any thread: no further report is sent."""

    @property
    def offered(self) -> int:
        return len(self.table) - self.table.count(NOT_SENT)

    @property
    def answered(self) -> int:
        return self.table.count(ANSWERED)

    @property
    def refused(self) -> int:
        return self.table.count(REFUSED)

    @property
    def unknown(self) -> int:
        return self.table.count(UNKNOWN)

    def play(self, host: str, port: int, progress: Progress | None = None) -> None:
        """Send every report at its instant, then wait until each has ended. Blocks."""
        table = self.table
        ports = ports_for(self.options.reports_per_second)
        rows: ReportRows | ProtectedRows = self.rows
        opened = None
        if self.options.oscore:
            numbers = self.first_number + NUMBERS_A_SECOND  # those before have gone into the greetings
            rows = protected = ProtectedRows(self.rows, self.plan, numbers, 0, self.plan.reports)
            opened = protected.open
        with Volley(host, port, table, rows.fill, rows.row_bytes, ports, opened) as volley:
            self.started = time.monotonic() + START_PAUSE_S
            table.due_s += self.started
            self.ended = float(table.due_s[-1])
            volley.open_loop(None if progress is None else lambda _: progress(self), lambda: self.is_enough)
            self.ended = min(self.ended, time.monotonic())
            self.sender, self.codes = asdict(volley.counts), volley.codes

    def ledgers(self) -> LoadLedgers:
        return LoadLedgers(self.plan, self.table.states.tobytes())


class LoadLedgers(Sequence[Ledger]):
    """A ledger per meter, made when asked for."""

    def __init__(self, planned: Plan, states: bytes) -> None:
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
    reconciliation: Reconciliation | None

    @property
    def ok(self) -> bool:
        return self.reconciliation is None or self.reconciliation.ok

    def as_dict(self) -> dict[str, Any]:
        run, table = self.run, self.run.table
        span_s = max(run.ended - run.started, 1 / run.options.reports_per_second)
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
            "other_codes": run.codes,
            "latency_ms": summary_ms(table.latency_s[table.states == ANSWERED]),
            "own_lag_ms": summary_ms(table.lag_s[table.states != NOT_SENT]),
            "sender": run.sender,
            "reconciliation": None if self.reconciliation is None else self.reconciliation.as_dict(),
        }


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
        await target.register([import_row(meter) for meter in range(planned.meters)])
    run = LoadRun(planned, options)
    if options.oscore:
        await _greet(target, run, announce)
    else:
        await _open_door(target, run)
    announce(f"playing {planned.reports} reports")
    await asyncio.to_thread(run.play, target.coap_host, target.coap_port, progress)
    result = None
    if options.verify:
        announce("reconciling with the database")
        result = await reconcile(
            target.database_url, run.ledgers(), began, grid=_grid(planned), max_wait_s=options.max_wait_s
        )
    return LoadResult(run, result)


async def _open_door(target: Target, run: LoadRun) -> None:
    """Send the first report of the meters registered last and first until the gateway knows them. It comes again in the
    run, where its repetition changes nothing."""
    async with Sender(target.coap_host, target.coap_port, ports=1, timers=run.options.timers) as sender:
        for number in {min(run.plan.meters, run.plan.reports) - 1, 0}:
            await admit(sender, serial(number), run.rows.tail(number))


async def _greet(target: Target, run: LoadRun, announce: Callable[[str], None]) -> None:
    """Give the meters keys, and have each send its first report until it is taken: a gateway that has not heard of a
    meter yet asks it by Echo. Raises TargetError."""
    meters = min(run.plan.meters, run.plan.reports)
    if target.enrol is None:
        raise TargetError("this target takes no keys")
    await target.enrol([key_row(serial(meter)) for meter in range(meters)])
    announce(f"greeting by {meters} meters")
    async with Sender(target.coap_host, target.coap_port, timers=run.options.timers) as sender:
        protected = ProtectedSender(sender, run.first_number)

        async def greet(meter: int) -> None:
            await admit_by(lambda: protected.post(serial(meter), run.rows.tail(meter), lane=meter), serial(meter))

        for first in range(0, meters, GREETINGS):
            await asyncio.gather(*map(greet, range(first, min(meters, first + GREETINGS))))


def _grid(planned: Plan) -> Grid:
    modulus_s = min(3600, planned.interval_s)
    return Grid(modulus_s, planned.first_s % modulus_s, planned.seq_base)


def import_row(meter: int) -> dict[str, str]:
    """What the registry is told of a meter."""
    return {
        "serial": serial(meter), "maker": "nbwater", "model": "load generator", "dn_mm": "15", "q3_m3h": "2.5",
        "zone": "load", "address": f"load generator {meter}",
    }  # fmt: skip
