"""What the settlement process tells Prometheus."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import Counter, Gauge, Histogram

_SECONDS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30)
_COUNTS = (1, 10, 100, 300, 1_000, 3_000, 10_000)

BACKLOG = Gauge("nbwater_settlement_backlog_spans", "Touched spans that wait for settlement")
OLDEST = Gauge("nbwater_settlement_oldest_seconds", "How long the oldest touched span has waited")
LEADS = Gauge("nbwater_settlement_leads", "1: this process settles; 0: it stands by for another that does")
HELD_BACK = Gauge("nbwater_settlement_held_back", "1: settlement waits while ingest catches up with the stream")
BATCH_SECONDS = Histogram(
    "nbwater_settlement_batch_seconds", "Duration of a batch, from take to COMMIT", buckets=_SECONDS
)
BATCH_SPANS = Histogram("nbwater_settlement_batch_spans", "Touched spans taken in one batch", buckets=_COUNTS)
STEP_SECONDS = Histogram(
    "nbwater_settlement_step_seconds", "Duration of a step of a batch: take, read, compute, write, leaks", ["step"],
    buckets=_SECONDS,
)  # fmt: skip
SPANS = Counter(
    "nbwater_settlement_spans_total",
    "Spans after merging, by outcome: settled with what is read for hourly readings, for daily ones, or after counting "
    "how far apart readings lie; of an unknown meter",
    ["outcome"],
)
DAYS = Counter("nbwater_settlement_days_total", "Days computed, unchanged ones included, by quality", ["quality"])
READINGS = Counter("nbwater_settlement_readings_total", "Readings that were read to settle")
CORRECTIONS = Counter(
    "nbwater_settlement_billing_corrections_total", "Billing lines of closed periods that turned out different"
)
ESTIMATED = Counter("nbwater_settlement_gaps_total", "Gaps spread by the meter's own hours of the day")
FAILURES = Counter("nbwater_settlement_failures_total", "Batches that were rolled back")


@contextmanager
def step(name: str) -> Iterator[None]:
    with STEP_SECONDS.labels(name).time():
        yield
