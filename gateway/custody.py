"""Holds reports from their arrival until the stream has them on disk (DESIGN section 3).

A repeat of a report that still waits joins it; a repeat of one that was answered with success is answered at once.
Only success is remembered: a report that was refused may come again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import NamedTuple, Protocol
from uuid import UUID

import structlog

from gateway.batcher import Batch, Batcher
from gateway.metrics import Counters
from gateway.repeats import Key, RepeatMemory
from metering.clock import now_us
from metering.commands import WaitingCommand
from metering.envelope import Report, mint_report_id, partition
from metering.errors import CustodyBusyError, CustodyError, CustodyUnknownError, StreamFullError
from metering.following import Pace, followed
from metering.model import Authentication, Door
from metering.pushers import voucher

MAX_JOINED = 8
"""Repeats that wait with one report; CoAP's MAX_RETRANSMIT is 4. Further ones get no answer of their own."""

FAILURE_LOG_PAUSE_S = 1.0


class Settle(Protocol):
    """Told once how custody of a report ended: None when it is on disk. `command`: what the answer has to carry."""

    def __call__(self, failure: CustodyError | None, command: WaitingCommand | None = None, /) -> None: ...


class Minted(NamedTuple):
    """Identity of a report that arrived before it could be given to custody: a door kept it in the meantime."""

    report_id: bytes
    received_at_us: int


def mint() -> Minted:
    """Of a report that arrives now."""
    received_at_us = now_us()
    return Minted(mint_report_id(received_at_us), received_at_us)


_log = structlog.get_logger()


class BatchPublisher(Protocol):
    async def publish(self, partition: int, reports: list[Report], repeats: dict[str, int]) -> None:
        """Returns when the batch is on disk; raises CustodyError otherwise."""
        ...


class StreamCustody:
    """`run` pumps batches to the publisher, at most `max_inflight_batches` at once; while all are busy the open batch
    grows, so that load makes batches larger and not more numerous."""

    def __init__(
        self,
        publisher: BatchPublisher,
        batcher: Batcher,
        memory: RepeatMemory,
        counters: Counters,
        partitions: int,
        max_pending_reports: int,
        max_inflight_batches: int,
        clock: Callable[[], float],
        follow_one_in: int = 0,
    ) -> None:
        self._follow_one_in, self._failure_pace = follow_one_in, Pace(FAILURE_LOG_PAUSE_S)
        self._publisher, self._batcher, self._memory, self._counters = publisher, batcher, memory, counters
        self._partitions, self._max_pending = partitions, max_pending_reports
        self._clock = clock
        self._pending: dict[Key, list[Settle]] = {}
        self._repeats: dict[str, int] = {}
        self._slots = asyncio.Semaphore(max_inflight_batches)
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._inflight: set[Batch] = set()

    @property
    def inflight(self) -> int:
        """Batches published and without answer."""
        return len(self._inflight)

    @property
    def oldest_s(self) -> float:
        """How long the report that waits longest has no answer; 0 when none waits."""
        opened = [batch.opened_at for batch in self._inflight]
        if (at := self._batcher.opened_at) is not None:
            opened.append(at)
        return max(0.0, self._clock() - min(opened)) if opened else 0.0

    @property
    def pending(self) -> int:
        """Reports that have no answer yet."""
        return len(self._pending)

    def take(
        self,
        door: Door,
        authentication: Authentication,
        device: str,
        content_format: int,
        payload: bytes,
        source: str,
        settle: Settle,
        minted: Minted | None = None,
    ) -> None:
        """See `gateway.intake.Custody`."""
        key = (device, content_format, payload, voucher(authentication, source))
        waiting = self._pending.get(key)
        now = self._clock()
        if waiting is not None or self._memory.recalls(key, now):
            self._repeat(door, waiting, settle)
            return
        if len(self._pending) >= self._max_pending:
            raise CustodyBusyError("too many reports wait for custody")
        report_id, received_at_us = minted or mint()
        report = Report(
            report_id, received_at_us, door, authentication, device, content_format, payload, source
        )  # fmt: skip
        self._pending[key] = [settle]
        self._idle.clear()
        if self._batcher.add(partition(device, self._partitions), report, now):
            self._wake.set()

    def _repeat(self, door: Door, waiting: list[Settle] | None, settle: Settle) -> None:
        self._repeats[door.value] = self._repeats.get(door.value, 0) + 1
        self._counters.repeats[door.value] += 1
        if waiting is None:
            settle(None)
        elif len(waiting) <= MAX_JOINED:
            waiting.append(settle)

    async def run(self) -> None:
        """Publish what is due, until cancelled."""
        async with asyncio.TaskGroup() as group:
            while True:
                await self._until_due()
                await self._slots.acquire()
                batch = self._batcher.due(self._clock())
                if batch is None:
                    self._slots.release()
                else:
                    self._inflight.add(batch)
                    group.create_task(self._publish(batch), name="publish batch")

    async def _until_due(self) -> None:
        while True:
            self._wake.clear()
            due_at = self._batcher.due_at()
            delay = None if due_at is None else due_at - self._clock()
            if delay is not None and delay <= 0:
                return
            try:
                async with asyncio.timeout(delay):
                    await self._wake.wait()
            except TimeoutError:
                return

    async def drained(self) -> None:
        """Returns when every report taken has its answer."""
        await self._idle.wait()

    async def _publish(self, batch: Batch) -> None:
        repeats, self._repeats = self._repeats, {}
        failure: CustodyError | None = None
        started = self._clock()
        try:
            await self._publisher.publish(batch.partition, batch.reports, repeats)
        except StreamFullError as error:
            failure = error
            self._return_repeats(repeats)
        except CustodyError as error:
            failure = error
        except asyncio.CancelledError:
            self._settle(batch, CustodyUnknownError("the gateway stops"))
            raise
        except Exception as error:
            _log.exception("a batch could not be published", reports=len(batch.reports))
            failure = CustodyUnknownError(repr(error))
        finally:
            self._inflight.discard(batch)
            self._slots.release()
        self._counters.batch(batch, started - batch.opened_at, self._clock() - started, failure)
        self._settle(batch, failure)
        self._tell(batch, failure)

    def _tell(self, batch: Batch, failure: CustodyError | None) -> None:
        """Log lines of the reports that are followed, and of a batch that was not taken."""
        waited_ms = round(1000 * (self._clock() - batch.opened_at), 1)
        outcome = "on_disk" if failure is None else failure.label
        for report in followed(batch.reports, self._follow_one_in):
            _log.info(
                "report_answered", report_id=str(UUID(bytes=report.report_id)), device=report.device,
                door=report.door.value, outcome=outcome, waited_ms=waited_ms,
            )  # fmt: skip
        if failure is not None and self._failure_pace.allows(self._clock()):
            first, last = (str(UUID(bytes=batch.reports[at].report_id)) for at in (0, -1))
            _log.warning(
                "batch_not_taken", outcome=outcome, reports=len(batch.reports), first_report=first, last_report=last
            )  # fmt: skip

    def _defect(self, report: Report, now: float) -> None:
        self._counters.ignored["defect"] += 1
        if self._failure_pace.allows(now):
            _log.exception(
                "an answer met a defect", report_id=str(UUID(bytes=report.report_id)), door=report.door.value
            )

    def _return_repeats(self, repeats: dict[str, int]) -> None:
        """The batch that would have carried them is certainly not stored. (Of one that may be they are given up:
        counting a repeat twice would be worse than missing one.)"""
        for door, count in repeats.items():
            self._repeats[door] = self._repeats.get(door, 0) + count

    def _settle(self, batch: Batch, failure: CustodyError | None) -> None:
        """Tell every sender, joined repeats included, and remember what is on disk."""
        now = self._clock()
        for report in batch.reports:
            vouched = voucher(report.authentication, report.source)
            key = (report.device, report.content_format, report.payload, vouched)
            if failure is None:
                self._memory.remember(key, now)
            for settle in self._pending.pop(key, ()):
                try:
                    settle(failure)
                except Exception:  # a door's defect must not cost the other reports of the batch their answers
                    self._defect(report, now)
        if not self._pending:
            self._idle.set()
