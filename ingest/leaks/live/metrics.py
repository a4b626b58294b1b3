"""What the leak stage tells Prometheus."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

_SECONDS = (0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100)

BACKLOG = Gauge("nbwater_settlement_leaks_due_meters", "Meters whose changed readings the leak detector has not seen")
TO_LEARN = Gauge(
    "nbwater_settlement_leaks_to_learn_meters", "Of them those that wait behind the others: to be learned from the past"
)
OLDEST = Gauge("nbwater_settlement_leaks_oldest_seconds", "How long the first of the others has waited")
BATCH_SECONDS = Histogram(
    "nbwater_settlement_leaks_batch_seconds", "Duration of a batch of the leak stage, COMMIT included", buckets=_SECONDS
)
LOOK_SECONDS = Histogram(
    "nbwater_settlement_leaks_look_seconds", "Of which in the detector, per slice of meters", buckets=_SECONDS
)
METERS = Counter(
    "nbwater_settlement_leaks_meters_total",
    "Meters looked at: gone on from what was known, resumed from an earlier state, or learned from the past", ["how"],
)  # fmt: skip
FAILURES = Counter("nbwater_settlement_leaks_failures_total", "Batches of the leak stage that were rolled back")
SET_ASIDE = Counter(
    "nbwater_settlement_leaks_set_aside_total", "Meters on which the detector failed, to be learned anew"
)
