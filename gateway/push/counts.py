"""What the push door counts, for /metrics and the heartbeat, by product where that says more."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from metering.distribution import Distribution

PREFIX = "nbwater_gateway_push"
_SECONDS_BUCKETS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0)


class Counts:
    """Counted up by their owners and never down."""

    def __init__(self) -> None:
        self.answers: Counter[tuple[str, str]] = Counter()
        """Pushes by product and HTTP status."""
        self.messages: Counter[tuple[str, str]] = Counter()
        """Messages by product and kind."""
        self.unplaced: Counter[tuple[str, str]] = Counter()
        """Messages whose device is not known, by product and what became of them."""
        self.foreign: Counter[str] = Counter()
        """Messages of devices that the product may not speak for, as the registry is known here."""
        self.delayed: Counter[str] = Counter()
        """Pushes that waited because their product sent faster than it may."""
        self.answered_s = Distribution(_SECONDS_BUCKETS)
        """From a push's last byte to its answer."""
        self.refused: Counter[str] = Counter()
        """Of senders that are no pushers, by reason."""
        self.gaps: Counter[str] = Counter()
        self.missing: Counter[str] = Counter()
        self.commands: Counter[tuple[str, str]] = Counter()
        """Calls of a platform's command API by product and outcome."""


class PushCollector(Collector):
    """`silent` and `last`: by product, whether pushes are missing now, and when the last came (Unix seconds)."""

    def __init__(
        self, counts: Counts, silent: Callable[[], Mapping[str, bool]], last: Callable[[], Mapping[str, float]]
    ) -> None:
        self._counts, self._silent, self._last = counts, silent, last

    def collect(self) -> Iterable[Metric]:
        counts = self._counts
        yield _by("answers", "Pushes answered", ("product", "status"), counts.answers)
        yield _by("messages", "Messages in pushes", ("product", "kind"), counts.messages)
        yield _by("unplaced", "Messages of devices nobody knows", ("product", "became"), counts.unplaced)
        yield _by("foreign", "Messages of devices bound to another product or none", ("product",), _one(counts.foreign))
        yield _by("delayed", "Pushes that waited for their product's turn", ("product",), _one(counts.delayed))
        yield _by("refused", "Requests of senders that are no pushers", ("reason",), _one(counts.refused))
        yield _by("gaps", "Times a platform stopped pushing", ("product",), _one(counts.gaps))
        yield _by("missing", "Pushes that were expected in such times", ("product",), _one(counts.missing))
        yield _by("commands", "Calls of a platform's command API", ("product", "outcome"), counts.commands)
        yield counts.answered_s.family(f"{PREFIX}_answer_seconds", "From a push's last byte to its answer")
        yield _gauge("silent", "1 while expected pushes are missing", self._silent())
        yield _gauge("last_seconds", "When the last push came, Unix seconds", self._last())


def _one(counter: Counter[str]) -> dict[tuple[str, ...], int]:
    return {(key,): value for key, value in counter.items()}


def _by(name: str, text: str, labels: tuple[str, ...], values: Mapping[Any, int]) -> Metric:
    """`values`: by as many label values as there are labels."""
    family = CounterMetricFamily(f"{PREFIX}_{name}", text, labels=labels)
    for key, value in sorted(values.items()):
        family.add_metric(key, value)
    return family


def _gauge(name: str, text: str, values: Mapping[str, float]) -> Metric:
    family = GaugeMetricFamily(f"{PREFIX}_{name}", text, labels=("product",))
    for product, value in sorted(values.items()):
        family.add_metric((product,), float(value))
    return family
