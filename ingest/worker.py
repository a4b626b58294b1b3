"""The ingest worker: take the lease → find the watermark → fetch → take in one transaction → acknowledge, forever.

Whatever fails, nothing is acknowledged before COMMIT, and the next round begins at the watermark that the database has.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import asyncpg
import nats.errors
import structlog
from nats.js import JetStreamContext

from metering.clock import now_us
from metering.errors import FencedError, NbwaterError
from metering.following import Pace, followed
from metering.settings import IngestSettings, LogSettings, load

from . import metrics
from .classify import Prepared, prepare
from .consumer import Delivery, DeliveryGapError, StreamLife, UpConsumer, acknowledge, kept_waiting
from .gate import pass_gate
from .lease import Lease, Watermark
from .pipeline import Pipeline, Taken
from .poison import isolate

log = structlog.get_logger()

MAX_TRANSACTION_BYTES = 1024 * 1024
"""About 10,000 daily reports: the cost of a commit is spread, and the loop is free again within a second."""
GATHER_S = 0.2
"""Transactions begin no more often than this while the stream has no backlog. What a transaction costs beside its rows
(a dozen statements, a commit) was a third of all at 6,250 reports/s, and nobody sees that a report is in the database a
fifth of a second later: it is on disk in the stream."""
TRANSACTION_TIMEOUT_S = 180.0
"""A database that is silent for so long is taken for absent."""
FOLLOW_EVERY_S = 2.0
LIFE_EVERY_S = 5.0
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.2, 5.0
LETTER_LOG_PAUSE_S = 1.0

_BAD_DATA = (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError, ValueError)
"""asyncpg's own refusal to encode a value is a ValueError too."""
_LOST = (OSError, asyncpg.InterfaceError, asyncpg.InternalClientError)
"""asyncpg's internal error is what a connection that is lost within COPY may raise."""
_OUTAGES = (*_LOST, asyncpg.PostgresError, nats.errors.Error, NbwaterError)


@dataclass(frozen=True, slots=True)
class Batch:
    """Deliveries that go into one transaction, and what they say."""

    deliveries: Sequence[Delivery]
    prepared: Prepared

    @property
    def sequence(self) -> int:
        return self.deliveries[-1].message.sequence

    def behind_s(self, now_us: int) -> float:
        """How long its newest message has waited in the stream; 0 when no other waits behind it."""
        newest = self.deliveries[-1]
        return max(0.0, (now_us - newest.message.stored_at_us) / 1e6) if newest.waiting else 0.0


class Worker:
    """Takes one partition. `pool` is an asyncpg pool; `use_copy` is off for servers without COPY."""

    def __init__(
        self, pool: Any, js: JetStreamContext, settings: IngestSettings, zone: ZoneInfo, use_copy: bool = True
    ) -> None:
        self._pool, self._settings = pool, settings
        self._consumer = UpConsumer(js, settings.partition, settings.fetch_batches)
        self._pipeline = Pipeline(settings, zone, use_copy)
        self._follow_one_in, self._letter_pace = load(LogSettings).follow_one_in, Pace(LETTER_LOG_PAUSE_S)
        self._fetched: deque[Delivery] = deque()
        self._watermark = Watermark(0, None)
        self._handed_on = 0
        self._followed_at = self._lived_at = self._fetched_at = float("-inf")
        self._has_backlog = False
        self._stopping = asyncio.Event()
        self.consuming = False
        """Whether it holds the lease and reads the stream."""
        self.standing_by = False
        """Whether another worker holds the lease."""

    def stop(self) -> None:
        """End `run` after the transaction in hand."""
        self._stopping.set()

    async def run(self) -> None:
        """Until `stop`. A lost lease, an absent database or stream are waited for."""
        pause_s = FIRST_PAUSE_S
        while not self._stopping.is_set():
            started = time.monotonic()
            try:
                await self._one_tenure()
            except FencedError as error:
                log.warning("fenced", detail=str(error))
                metrics.FAILURES.labels("fenced").inc()
            except _OUTAGES as error:
                log.error("ingest_interrupted", error=type(error).__name__, detail=str(error)[:500])
                metrics.FAILURES.labels(type(error).__name__).inc()
                pause_s = FIRST_PAUSE_S if time.monotonic() - started > LONGEST_PAUSE_S else pause_s
                await self._pause(pause_s)
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)

    async def _one_tenure(self) -> None:
        lease = Lease(self._pool, self._settings.partition, self._settings.lease_s)
        watermark = await self._wait_for(lease)
        if watermark is None:
            return
        keeping = asyncio.create_task(lease.keep(), name="lease")
        try:
            await self._open(lease, watermark)
            await self._consume(lease, keeping)
        finally:
            self.consuming = False
            metrics.LEASE_HELD.set(0)
            keeping.cancel()
            await asyncio.gather(keeping, return_exceptions=True)
            await self._consumer.close()
            with contextlib.suppress(Exception):  # an absent database lets the lease run out by itself
                await lease.release()

    async def _wait_for(self, lease: Lease) -> Watermark | None:
        """The watermark, once the lease is ours; None when told to stop."""
        try:
            while not self._stopping.is_set():
                if (watermark := await lease.take()) is not None:
                    return watermark
                if not self.standing_by:
                    log.info("standby", partition=self._settings.partition)
                    self.standing_by = True
                await self._pause(self._settings.lease_s / 3)
        finally:
            self.standing_by = False
        return None

    async def _open(self, lease: Lease, watermark: Watermark) -> None:
        """Begin after the database's watermark, in this life of the stream."""
        self._pipeline.forget()
        self._fetched.clear()
        life = await self._consumer.life()
        self._watermark = begin_at(watermark, life)
        if self._watermark != watermark:
            async with self._pool.acquire() as connection:
                await lease.advance(connection, watermark, self._watermark)
        self._handed_on = self._watermark.sequence
        await self._consumer.open(self._watermark.sequence)
        self.consuming = True
        metrics.LEASE_HELD.set(1)
        metrics.WATERMARK.set(self._watermark.sequence)
        log.info("consuming", partition=self._settings.partition, after=self._watermark.sequence)

    async def _consume(self, lease: Lease, keeping: asyncio.Task[None]) -> None:
        """While one batch is written, the next is fetched and decoded."""
        ahead = asyncio.create_task(self._next(), name="fetch")
        try:
            while not self._stopping.is_set():
                batch = await ahead
                ahead = asyncio.create_task(self._next(), name="fetch")
                if keeping.done():
                    keeping.result()
                if batch is not None:
                    await self._commit(lease, batch)
        finally:
            ahead.cancel()
            await asyncio.gather(ahead, return_exceptions=True)

    async def _next(self) -> Batch | None:
        """What goes into the next transaction; None when the stream has nothing new."""
        if not self._fetched:
            await self._gather()
            with metrics.STEP_SECONDS.labels("fetch").time():
                self._fetched.extend(await self._consumer.fetch())
            self._has_backlog = bool(self._fetched) and self._fetched[-1].waiting > 0
        if not self._fetched:
            await self._check_life()
            return None
        deliveries = await self._group()
        if not deliveries:
            return None
        with metrics.PREPARE_SECONDS.time():
            prepared = prepare((delivery.message for delivery in deliveries), self._pipeline.decoders, now_us())
        metrics.DATED_ANEW.inc(prepared.dated_anew)
        return Batch(deliveries, prepared)

    async def _gather(self) -> None:
        """Let reports come together, unless more than one fetch waits already."""
        if not self._has_backlog:
            await asyncio.sleep(self._fetched_at + GATHER_S - time.monotonic())
        self._fetched_at = time.monotonic()

    async def _group(self) -> list[Delivery]:
        """Deliveries up to the bound of a transaction, at least one. What was handed on before came again because
        its acknowledgement was lost or late: it is left out, and acknowledged if it is committed."""
        deliveries: list[Delivery] = []
        size = 0
        while self._fetched and (not deliveries or size + len(self._fetched[0].message.body) <= MAX_TRANSACTION_BYTES):
            delivery = self._fetched.popleft()
            if delivery.message.sequence <= self._handed_on:
                metrics.MESSAGES.labels("redelivered").inc()
                if delivery.message.sequence <= self._watermark.sequence:
                    await acknowledge([delivery])
                continue
            self._handed_on = delivery.message.sequence
            size += len(delivery.message.body)
            deliveries.append(delivery)
        if deliveries:
            metrics.TRIGGERS.labels("bytes" if self._fetched else "all_fetched").inc()
        metrics.FETCHED_MESSAGES.set(len(self._fetched))
        return deliveries

    async def _check_life(self) -> None:
        """A stream that was made anew under us must not be read on with the old sequences."""
        metrics.BACKLOG_SECONDS.set(0)
        if time.monotonic() - self._lived_at > LIFE_EVERY_S:
            life = await self._consumer.life()
            if life.created != self._watermark.stream_created:
                raise DeliveryGapError("the stream was made anew")
            self._lived_at = time.monotonic()

    async def _commit(self, lease: Lease, batch: Batch) -> None:
        """Take the batch in one transaction, then acknowledge it."""
        metrics.BACKLOG_SECONDS.set(max(0, now_us() - batch.deliveries[0].message.stored_at_us) / 1e6)
        async with kept_waiting(batch.deliveries):
            taken, after = await self._commit_somehow(lease, batch)
        self._watermark = after
        self._pipeline.remember(taken)
        metrics.WATERMARK.set(after.sequence)
        metrics.TRANSACTION_REPORTS.observe(batch.prepared.reports)
        metrics.MESSAGES.labels("taken").inc(len(batch.deliveries))
        with metrics.STEP_SECONDS.labels("acknowledge").time():
            await acknowledge(batch.deliveries)
        self._tell(taken)

    def _tell(self, taken: Taken) -> None:
        """Log lines of the reports that are followed, and of dead letters: a line a second at most."""
        chosen = {report.report_id for report in followed((e.placed.report for e in taken.ended), self._follow_one_in)}
        for end in taken.ended if chosen else ():
            if (report_id := end.placed.report.report_id) in chosen:
                log.info(
                    "report_taken", report_id=str(UUID(bytes=report_id)), device=end.placed.report.device,
                    sequence=taken.sequences.get(report_id), outcome=str(end.outcome), reason=end.reason,
                    readings=end.placed.readings, stored=end.stored,
                )  # fmt: skip
        if taken.refused and self._letter_pace.allows(time.monotonic()):
            first = taken.refused[0]
            log.warning(
                "dead_letters", letters=len(taken.refused), report_id=str(UUID(bytes=first.report.report_id)),
                sequence=taken.sequences.get(first.report.report_id), device=first.report.device, reason=first.reason,
            )  # fmt: skip

    async def _commit_somehow(self, lease: Lease, batch: Batch) -> tuple[Taken, Watermark]:
        """Fast; when something was there already, carefully; when the data cannot be written, without those reports."""
        after = Watermark(batch.sequence, self._watermark.stream_created)
        try:
            return await self._transaction(lease, batch, batch.prepared, after, careful=False), after
        except asyncpg.UniqueViolationError:
            metrics.FAILURES.labels("already_there").inc()
            self._pipeline.forget()
        except Exception as error:
            if _is_outage(error):
                raise
            self._pipeline.installations.clear()  # it may know what was bound in the transaction that was rolled back
            log.warning("fast_write_failed", error=type(error).__name__, detail=str(error)[:500])
            metrics.FAILURES.labels("fast_write").inc()
        try:
            return await self._transaction(lease, batch, batch.prepared, after, careful=True), after
        except Exception as error:
            if _is_outage(error):
                raise
            self._pipeline.installations.clear()
            log.exception("reports_cannot_be_written", reports=batch.prepared.reports)
            metrics.FAILURES.labels("bad_data").inc()
        prepared = await isolate(batch.prepared, self._attempt)
        return await self._transaction(lease, batch, prepared, after, careful=True), after

    async def _transaction(
        self, lease: Lease, batch: Batch, prepared: Prepared, after: Watermark, careful: bool
    ) -> Taken:
        """`prepared`: what is taken of the batch."""
        async with self._pool.acquire() as connection:
            await self._follow_registry(connection)
            with metrics.TRANSACTION_SECONDS.time():
                async with asyncio.timeout(TRANSACTION_TIMEOUT_S), connection.transaction():
                    await pass_gate(connection)
                    with metrics.STEP_SECONDS.labels("store").time():
                        taken = await self._pipeline.take(connection, prepared, careful)
                    committing = time.perf_counter()
                    await lease.advance(connection, self._watermark, after, batch.behind_s(now_us()))
                metrics.STEP_SECONDS.labels("commit").observe(time.perf_counter() - committing)
        return taken

    async def _attempt(self, prepared: Prepared) -> Exception | None:
        async with self._pool.acquire() as connection:
            transaction = connection.transaction()
            await transaction.start()
            try:
                await self._pipeline.take(connection, prepared, careful=True)
            except Exception as error:
                if _is_outage(error):
                    raise
                return error
            finally:
                await transaction.rollback()
                self._pipeline.installations.clear()
        return None

    async def _follow_registry(self, connection: Any) -> None:
        if time.monotonic() - self._followed_at > FOLLOW_EVERY_S:
            await self._pipeline.installations.follow(connection)
            self._followed_at = time.monotonic()


def begin_at(watermark: Watermark, life: StreamLife) -> Watermark:
    """Where to begin reading. Sequences of another life of the stream mean nothing in this one; redelivery of what
    is stored already does no harm."""
    if watermark.stream_created is None:
        return Watermark(watermark.sequence, life.created)
    if watermark.stream_created != life.created or watermark.sequence > life.last_sequence:
        log.error(
            "stream_is_another",
            watermark=watermark.sequence, last=life.last_sequence,
            known=str(watermark.stream_created), created=str(life.created),
        )  # fmt: skip
        return Watermark(0, life.created)
    if (lost := life.first_sequence - 1 - watermark.sequence) > 0:
        log.error("stream_lost_messages", messages=lost, watermark=watermark.sequence, first=life.first_sequence)
        metrics.STREAM_LOST_MESSAGES.inc(lost)
    return watermark


def _is_outage(error: Exception) -> bool:
    """Whether the same data may be written later; otherwise it is the data."""
    return isinstance(error, _OUTAGES) and not isinstance(error, _BAD_DATA)
