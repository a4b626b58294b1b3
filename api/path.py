"""The data path from the gateways to settlement: each stage's figures and state, and whether every report is accounted
for. Read from what programs say (heartbeats), from the stream and from the database; what cannot be read is unknown.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

from prometheus_client import Gauge

from api.database import ReadPool
from api.heartbeats import Heartbeats, Said
from api.queries.accounting import AccountingRow, list_accounting
from api.queries.path import PathRow, get_path
from api.stream import InFlight, InFlightReader, StreamState
from metering.errors import UnavailableError

ACCOUNTING_DAYS = 7
RECOUNT_SHARE = 20
"""A recount is as old as this many times its duration at least: on a large database it must not become the load."""
WATCH_EVERY_S = 60.0

_DIFFERENCE = Gauge(
    "nbwater_api_accounting_wrong_lines", "Doors and days of the last week whose accounting does not add up"
)
_UNKNOWN = Gauge("nbwater_api_accounting_unknown", "1 while the accounting could not be read")


class State(StrEnum):
    OK = "ok"
    WARN = "warn"
    BAD = "bad"
    UNKNOWN = "unknown"


class Unit(StrEnum):
    NUMBER = "number"
    PER_SECOND = "per_second"
    SECONDS = "seconds"
    BYTES = "bytes"
    PERCENT = "percent"


@dataclass(frozen=True, slots=True)
class Figure:
    """`value` None: unknown."""

    key: str
    value: float | None
    unit: Unit


@dataclass(frozen=True, slots=True)
class Stage:
    key: str
    state: State
    reason: str
    """A short stable word for the state; empty when it is ok."""
    figures: list[Figure]


@dataclass(frozen=True, slots=True)
class Path:
    stages: list[Stage]
    accounting: list[AccountingRow]
    in_flight: InFlight
    as_of: datetime

    @property
    def adds_up(self) -> bool:
        return all(row.adds_up for row in self.accounting)


@dataclass(frozen=True, slots=True)
class _Sample:
    at_s: float
    row: PathRow
    spans_per_s: float | None


class PathReader:
    """Shared by all viewers."""

    def __init__(
        self,
        pool: ReadPool,
        stream: InFlightReader,
        heartbeats: Heartbeats,
        zone: ZoneInfo,
        now: Callable[[], datetime],
    ) -> None:
        self._pool, self._stream, self._heartbeats, self._zone, self._now = pool, stream, heartbeats, zone, now
        self._sample: _Sample | None = None
        self._accounting: list[AccountingRow] = []
        self._counted_at, self._count_s = float("-inf"), 0.0
        self._lock = asyncio.Lock()

    async def read(self) -> Path:
        """Raises UnavailableError when the database is away."""
        in_flight, state = await self._stream.in_flight(), await self._stream.state()
        row, spans_per_s = await self._database()
        heard = self._stream.connected
        stages = [
            gateway_stage(self._heartbeats.of("gateway"), heard),
            stream_stage(state, in_flight, self._now()),
            ingest_stage(self._heartbeats.of("ingest"), row, in_flight, self._now()),
            database_stage(row),
            settlement_stage(row, spans_per_s, self._now()),
        ]
        return Path(stages, await self.accounting(10.0), in_flight, self._now())

    async def accounting(self, max_age_s: float) -> list[AccountingRow]:
        """The last week, its newest two days recounted from the rows; shared, so that a recount runs once."""
        async with self._lock:
            if time.monotonic() - self._counted_at >= max(max_age_s, RECOUNT_SHARE * self._count_s):
                started = time.monotonic()
                today = self._now().astimezone(self._zone).date()
                first = today - timedelta(days=ACCOUNTING_DAYS - 1)
                self._accounting = await list_accounting(self._pool, first, today, self._zone)
                self._counted_at = time.monotonic()
                self._count_s = self._counted_at - started
                _DIFFERENCE.set(sum(not row.adds_up for row in self._accounting))
            return self._accounting

    async def watch(self) -> None:
        """Until cancelled: keep the metric of the accounting fresh, whoever looks at the page."""
        while True:
            try:
                await self.accounting(WATCH_EVERY_S)
                _UNKNOWN.set(0)
            except UnavailableError:
                _UNKNOWN.set(1)
            await asyncio.sleep(WATCH_EVERY_S)

    async def _database(self) -> tuple[PathRow, float | None]:
        row, now = await get_path(self._pool), time.monotonic()
        before = self._sample
        rate = before.spans_per_s if before else None
        if before is None or now - before.at_s >= 1:
            if before is not None and row.spans_taken >= before.row.spans_taken:
                rate = (row.spans_taken - before.row.spans_taken) / (now - before.at_s)
            self._sample = _Sample(now, row, rate)
        return row, rate


OLDEST_PENDING_WARN_S = 1.0
STREAM_WARN_PERCENT, STREAM_BAD_PERCENT = 80.0, 95.0
BACKLOG_WARN_S, BACKLOG_BAD_S = 30.0, 300.0
SPANS_WARN_S, SPANS_BAD_S = 120.0, 900.0


def gateway_stage(said: Said, heard: bool) -> Stage:
    """`heard`: whether NATS, by which programs speak, is there."""
    refused = said.per_second("nbwater_gateway_answers_total", code="5.03")
    oldest = said.largest("nbwater_gateway_oldest_pending_seconds")
    if not heard:
        state, reason = State.UNKNOWN, "no_nats"
    elif not len(said):
        state, reason = State.BAD, "silent"
    elif said.total("nbwater_gateway_nats_connected") != len(said):
        state, reason = State.BAD, "no_stream"
    elif said.total("nbwater_gateway_registry_ready") != len(said):
        state, reason = State.BAD, "no_registry"
    elif refused:
        state, reason = State.WARN, "back_pressure"
    elif oldest is not None and oldest > OLDEST_PENDING_WARN_S:
        state, reason = State.WARN, "slow"
    else:
        state, reason = State.OK, ""
    return Stage("gateway", state, reason, [
        Figure("processes", len(said) if heard else None, Unit.NUMBER),
        Figure("datagrams", said.per_second("nbwater_gateway_datagrams_total"), Unit.PER_SECOND),
        Figure("answered", said.per_second("nbwater_gateway_answers_total", code="2.04"), Unit.PER_SECOND),
        Figure("repeats", said.per_second("nbwater_gateway_repeats_total"), Unit.PER_SECOND),
        Figure("refused", said.per_second("nbwater_gateway_refused_total"), Unit.PER_SECOND),
        Figure("busy", refused, Unit.PER_SECOND),
        Figure("pending", said.total("nbwater_gateway_pending_reports"), Unit.NUMBER),
        Figure("oldest", oldest, Unit.SECONDS),
        Figure("in_flight_batches", said.total("nbwater_gateway_inflight_batches"), Unit.NUMBER),
        Figure("batch_reports", said.mean("nbwater_gateway_batch_reports"), Unit.NUMBER),
        Figure("puback", said.mean("nbwater_gateway_publish_seconds"), Unit.SECONDS),
    ])  # fmt: skip


def stream_stage(state: StreamState | None, in_flight: InFlight, now: datetime) -> Stage:
    percent = 100 * state.bytes / state.max_bytes if state and state.max_bytes > 0 else None
    if percent is None:
        health, reason = State.BAD, "away"
    elif percent >= STREAM_BAD_PERCENT:
        health, reason = State.BAD, "full"
    elif percent >= STREAM_WARN_PERCENT:
        health, reason = State.WARN, "filling"
    else:
        health, reason = State.OK, ""
    return Stage("stream", health, reason, [
        Figure("in_flight", in_flight.reports, Unit.NUMBER),
        Figure("backlog", in_flight.batches, Unit.NUMBER),
        Figure("oldest", _age_s(in_flight.oldest_at, now) if in_flight.reports is not None else None, Unit.SECONDS),
        Figure("messages", state.messages if state else None, Unit.NUMBER),
        Figure("bytes", state.bytes if state else None, Unit.BYTES),
        Figure("filled", percent, Unit.PERCENT),
    ])  # fmt: skip


def ingest_stage(said: Said, row: PathRow, in_flight: InFlight, now: datetime) -> Stage:
    waiting_s = _age_s(in_flight.oldest_at, now) if in_flight.reports else 0.0
    if not row.leases:
        state, reason = State.BAD, "no_lease"
    elif waiting_s > BACKLOG_BAD_S:
        state, reason = State.BAD, "backlog"
    elif waiting_s > BACKLOG_WARN_S:
        state, reason = State.WARN, "backlog"
    else:
        state, reason = State.OK, ""
    return Stage("ingest", state, reason, [
        Figure("processes", len(said) or None, Unit.NUMBER),
        Figure("leases", row.leases, Unit.NUMBER),
        Figure("reports", said.per_second("nbwater_ingest_reports_total"), Unit.PER_SECOND),
        Figure("readings", said.per_second("nbwater_ingest_readings_total", result="stored"), Unit.PER_SECOND),
        Figure("dead", said.per_second("nbwater_ingest_refused_total"), Unit.PER_SECOND),
        Figure("failures", said.per_second("nbwater_ingest_failures_total"), Unit.PER_SECOND),
        Figure("batch_reports", said.mean("nbwater_ingest_transaction_reports"), Unit.NUMBER),
        Figure("transaction", said.mean("nbwater_ingest_transaction_seconds"), Unit.SECONDS),
    ])  # fmt: skip


def database_stage(row: PathRow) -> Stage:
    return Stage("database", State.OK, "", [
        Figure("taken_p50", row.taken_p50_s, Unit.SECONDS),
        Figure("taken_p99", row.taken_p99_s, Unit.SECONDS),
        Figure("dead_waiting", row.dead_letters_waiting, Unit.NUMBER),
        Figure("outbox", row.outbox_waiting, Unit.NUMBER),
        Figure("bytes", row.database_bytes, Unit.BYTES),
    ])  # fmt: skip


def settlement_stage(row: PathRow, spans_per_s: float | None, now: datetime) -> Stage:
    oldest_s = _age_s(row.oldest_span_at, now)
    if not row.settlement_leads:
        state, reason = State.BAD, "stands_still"
    elif oldest_s > SPANS_BAD_S:
        state, reason = State.BAD, "backlog"
    elif oldest_s > SPANS_WARN_S:
        state, reason = State.WARN, "backlog"
    else:
        state, reason = State.OK, ""
    return Stage("settlement", state, reason, [
        Figure("spans", row.spans_waiting, Unit.NUMBER),
        Figure("oldest", oldest_s, Unit.SECONDS),
        Figure("settled", spans_per_s, Unit.PER_SECOND),
    ])  # fmt: skip


def _age_s(at: datetime | None, now: datetime) -> float:
    return max(0.0, (now - at).total_seconds()) if at else 0.0
