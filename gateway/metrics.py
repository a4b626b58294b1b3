"""What the gateway counts. Plain integers on the hot path, turned into Prometheus families when somebody scrapes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping

from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from gateway.batcher import Batch
from metering.distribution import Distribution
from metering.errors import CustodyError

_SECONDS_BUCKETS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
_TURN_DATAGRAMS = (0, 1, 2, 4, 8, 16, 32, 64, 128, 255)
_BYTES_BUCKETS = (1e3, 1e4, 5e4, 1e5, 2e5, 4e5, 6e5)
_BATCH_BUCKETS = (1, 10, 50, 100, 250, 500, 1000, 2000, 4000)

Readings = Mapping[str, tuple[str, Callable[[], float]]]
"""Name without prefix → (help, how to read it)."""


class Counters:
    """One per process. Fields are counted up by their owners and never down."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.datagrams = 0
        self.ignored: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.reports_answered = 0
        """With 2.04; other answers of the CoAP port are in `answers`."""
        self.answers: Counter[str] = Counter()
        self.repeats: Counter[str] = Counter()
        self.silenced = 0
        self.send_failures = 0
        self.slow_lane = 0
        self.failures: Counter[str] = Counter()
        self.batches: Counter[str] = Counter()
        self.turns = Distribution(_TURN_DATAGRAMS)
        self._publish_s = Histogram(
            "nbwater_gateway_publish_seconds", "From publish to PubAck", buckets=_SECONDS_BUCKETS, registry=registry
        )
        self._batch_wait_s = Histogram(
            "nbwater_gateway_batch_wait_seconds", "From a batch's first report to its publish",
            buckets=_SECONDS_BUCKETS, registry=registry,
        )  # fmt: skip
        self.loop_stall_s = Histogram(
            "nbwater_gateway_loop_stall_seconds", "How late the event loop called a timer",
            buckets=_SECONDS_BUCKETS, registry=registry,
        )  # fmt: skip
        self._batch_reports = Histogram(
            "nbwater_gateway_batch_reports", "Reports in a batch", buckets=_BATCH_BUCKETS, registry=registry
        )
        self._batch_bytes = Histogram(
            "nbwater_gateway_batch_bytes", "Bytes of a batch", buckets=_BYTES_BUCKETS, registry=registry
        )

    def batch(self, batch: Batch, waited_s: float, publish_s: float, failure: CustodyError | None) -> None:
        """One batch has its answer."""
        self._batch_wait_s.observe(waited_s)
        self._publish_s.observe(publish_s)
        self._batch_reports.observe(len(batch.reports))
        self._batch_bytes.observe(batch.bytes)
        self.batches[batch.closed_by] += 1
        if failure is not None:
            self.failures[failure.label] += 1


class GatewayCollector(Collector):
    """Exports `Counters`, and gauges and totals that are read on the spot."""

    def __init__(self, counters: Counters, gauges: Readings, totals: Readings | None = None) -> None:
        self._counters, self._gauges, self._totals = counters, gauges, totals or {}

    def collect(self) -> Iterable[Metric]:
        counters = self._counters
        yield _plain("datagrams", "Datagrams received", counters.datagrams)
        yield _plain("silenced", "Refusals not sent because their source prefix had its share", counters.silenced)
        yield _plain("send_failures", "Datagrams the socket did not take", counters.send_failures)
        yield _plain("slow_lane_datagrams", "Datagrams given to the aiocoap lane", counters.slow_lane)
        yield _by("ignored", "Datagrams answered by silence or reset", "reason", counters.ignored)
        yield _by("refused", "Requests refused", "reason", counters.refused)
        answers = counters.answers + Counter({"2.04": counters.reports_answered})
        yield _by("answers", "Answers by CoAP code", "code", answers)
        yield _by("repeats", "Repeated reports answered without storing them again", "door", counters.repeats)
        yield _by("batch_failures", "Batches the stream did not take", "reason", counters.failures)
        yield _by("batches", "Batches by what closed them", "trigger", counters.batches)
        yield counters.turns.family("nbwater_gateway_turn_datagrams", "Datagrams read in one turn of the event loop")
        for name, (text, read) in self._totals.items():
            yield _plain(name, text, read())
        for name, (text, read) in self._gauges.items():
            yield GaugeMetricFamily(f"nbwater_gateway_{name}", text, value=read())


def _plain(name: str, text: str, value: float) -> Metric:
    return CounterMetricFamily(f"nbwater_gateway_{name}", text, value=value)


def _by(name: str, text: str, label: str, values: Counter[str]) -> Metric:
    family = CounterMetricFamily(f"nbwater_gateway_{name}", text, labels=[label])
    for key, value in sorted(values.items()):
        family.add_metric([key], value)
    return family
