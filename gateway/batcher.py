"""When a batch of reports is published: after `max_age_s`, or at `max_bytes`. Pure; the caller owns the timer."""

from __future__ import annotations

from collections import deque

from metering.envelope import MAX_BATCH_BYTES, Report

BUSY_AGES = 2
"""A batch taken after this many times its age waited for a free publish, not for reports."""

REPORT_OVERHEAD_BYTES = 64
"""Upper bound of what the envelope adds to a report's device, payload and source."""


class Batch:
    """Reports of one partition."""

    __slots__ = ("bytes", "closed_by", "opened_at", "partition", "reports")

    def __init__(self, partition: int, opened_at: float) -> None:
        self.partition, self.opened_at, self.bytes = partition, opened_at, 0
        self.reports: list[Report] = []
        self.closed_by = "bytes"
        """What closed it: `age`, `bytes`, `busy` (it was due and every publish was taken) or `drain`."""


class Batcher:
    """Open batches by partition, then closed ones in the order they closed."""

    def __init__(self, max_age_s: float, max_bytes: int = MAX_BATCH_BYTES) -> None:
        self._max_age_s, self._max_bytes = max_age_s, max_bytes
        self._open: dict[int, Batch] = {}
        self._closed: deque[Batch] = deque()
        self.reports = 0
        """Reports held, open and closed."""

    def add(self, partition: int, report: Report, now: float) -> bool:
        """Hold a report. True when the caller should look at `due` anew: a batch was opened or closed by it."""
        size = len(report.payload) + len(report.device) + len(report.source) + REPORT_OVERHEAD_BYTES
        batch = self._open.get(partition)
        changed = False
        if batch is not None and batch.bytes + size > self._max_bytes:
            self._closed.append(batch)
            batch, changed = None, True
        if batch is None:
            batch = self._open[partition] = Batch(partition, now)
            changed = True
        batch.reports.append(report)
        batch.bytes += size
        self.reports += 1
        return changed

    @property
    def opened_at(self) -> float | None:
        """When the oldest report held came, on the clock of `add`; None when nothing is held."""
        if self._closed:
            return self._closed[0].opened_at
        return min((batch.opened_at for batch in self._open.values()), default=None)

    def due_at(self) -> float | None:
        """When the next batch has to go, on the clock of `add`; None when nothing is held."""
        if self._closed:
            return self._closed[0].opened_at
        if not self._open:
            return None
        return min(batch.opened_at for batch in self._open.values()) + self._max_age_s

    def due(self, now: float) -> Batch | None:
        """The next batch that has to go at `now`, taken out; None when none has."""
        due_at = self.due_at()
        if due_at is None or due_at > now:
            return None
        return self._take("age" if now - due_at < (BUSY_AGES - 1) * self._max_age_s else "busy")

    def drain(self) -> Batch | None:
        """The next batch whatever its age, taken out; None when nothing is held."""
        return self._take("drain") if self._closed or self._open else None

    def _take(self, closed_by: str) -> Batch:
        if self._closed:
            batch = self._closed.popleft()
        else:
            batch = min(self._open.values(), key=lambda open_batch: open_batch.opened_at)
            del self._open[batch.partition]
            batch.closed_by = closed_by
        self.reports -= len(batch.reports)
        return batch
