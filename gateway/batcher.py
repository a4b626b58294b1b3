"""When a batch of reports is published: after `max_age_s`, or at `max_bytes`. Pure; the caller owns the timer."""

from __future__ import annotations

from collections import deque

from metering.envelope import MAX_BATCH_BYTES, Report

REPORT_OVERHEAD_BYTES = 64
"""Upper bound of what the envelope adds to a report's device, payload and source."""


class Batch:
    """Reports of one partition."""

    __slots__ = ("bytes", "opened_at", "partition", "reports")

    def __init__(self, partition: int, opened_at: float) -> None:
        self.partition, self.opened_at, self.bytes = partition, opened_at, 0
        self.reports: list[Report] = []


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
        return None if due_at is None or due_at > now else self._take()

    def drain(self) -> Batch | None:
        """The next batch whatever its age, taken out; None when nothing is held."""
        return self._take() if self._closed or self._open else None

    def _take(self) -> Batch:
        if self._closed:
            batch = self._closed.popleft()
        else:
            batch = min(self._open.values(), key=lambda open_batch: open_batch.opened_at)
            del self._open[batch.partition]
        self.reports -= len(batch.reports)
        return batch
