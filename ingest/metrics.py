"""What the ingest worker says of itself to Prometheus. Counters here inform; the truth is in the table `accounting`."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

REPORTS = Counter("nbwater_ingest_reports_total", "Reports by door and outcome", ["door", "outcome"])
REFUSED = Counter("nbwater_ingest_refused_total", "Dead letters by reason", ["reason"])
DATED_ANEW = Counter(
    "nbwater_ingest_gateway_clock_behind_total", "Reports of gateways whose clock is behind, dated by the stream's"
)
READINGS = Counter("nbwater_ingest_readings_total", "Readings: stored, repeated, conflicting", ["result"])
MESSAGES = Counter("nbwater_ingest_messages_total", "Stream messages: taken, redelivered", ["result"])
FAILURES = Counter("nbwater_ingest_failures_total", "Transactions that were retried, by cause", ["cause"])
TRANSACTION_SECONDS = Histogram(
    "nbwater_ingest_transaction_seconds",
    "From BEGIN to COMMIT",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
PREPARE_SECONDS = Histogram(
    "nbwater_ingest_prepare_seconds",
    "Opening envelopes and decoding reports of one transaction",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5),
)
TRANSACTION_REPORTS = Histogram(
    "nbwater_ingest_transaction_reports",
    "Reports in one transaction",
    buckets=(1, 3, 10, 30, 100, 300, 1_000, 3_000, 10_000, 30_000),
)
STEP_SECONDS = Histogram(
    "nbwater_ingest_step_seconds",
    "Steps of a round: fetch (waiting for messages included), store, commit, acknowledge",
    ["step"],
    buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
TRIGGERS = Counter("nbwater_ingest_transactions_closed_total", "Transactions by what closed them", ["trigger"])
FETCHED_MESSAGES = Gauge("nbwater_ingest_fetched_messages", "Messages fetched and not yet in a transaction")
STREAM_MESSAGES = Gauge("nbwater_ingest_stream_messages", "Messages the stream keeps, those taken included")
STREAM_BYTES = Gauge("nbwater_ingest_stream_bytes", "Bytes of the stream")
STREAM_MAX_BYTES = Gauge("nbwater_ingest_stream_max_bytes", "Bound of the stream in bytes: at it meters get 5.03")
MQTT_STREAM_BYTES = Gauge("nbwater_ingest_mqtt_stream_bytes", "Bytes that nats-server's MQTT listener keeps")
MQTT_STREAM_MAX_BYTES = Gauge(
    "nbwater_ingest_mqtt_stream_max_bytes", "Bound of these bytes: at it meters get no PUBACK; 0: none"
)
OLDEST_UNTAKEN_SECONDS = Gauge("nbwater_ingest_oldest_untaken_seconds", "Age of the oldest message nobody has taken")
BACKLOG_MESSAGES = Gauge("nbwater_ingest_backlog_messages", "Messages in the stream that were not fetched yet")
BACKLOG_SECONDS = Gauge("nbwater_ingest_backlog_seconds", "Age of the oldest message of the newest transaction")
WATERMARK = Gauge("nbwater_ingest_watermark_sequence", "Last stream sequence committed")
LEASE_HELD = Gauge("nbwater_ingest_lease_held", "1 while this worker may write")
KNOWN_DEVICES = Gauge("nbwater_ingest_known_devices", "Devices in the memory of the registry")
REMEMBERED_REPORTS = Gauge("nbwater_ingest_remembered_reports", "Reports in the memory of repeats")
TRIMS = Counter(
    "nbwater_ingest_trims_total", "Rounds of the trimmer that removed something, or were put off", ["result"]
)
TRIMMED_SEQUENCE = Gauge("nbwater_ingest_trimmed_sequence", "The stream was purged below this sequence")
STREAM_LOST_MESSAGES = Counter("nbwater_ingest_stream_lost_messages_total", "Messages gone before they were taken")
