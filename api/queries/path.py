"""The path as the database sees it: what waits in it, who works on it, how long a report took to get there."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from api.database import ReadPool

MAX_COUNTED = 100_000
"""Rows of a queue that are counted; beyond it there are at least so many."""
LATEST_REPORTS = 500
SETTLEMENT_LOCK = 7_310_188_001
"""Advisory lock of the settlement that leads, as `ingest.settlement` takes it; a test compares."""


@dataclass(frozen=True, slots=True)
class PathRow:
    spans_waiting: int
    oldest_span_at: datetime | None
    spans_taken: int
    """Grows as settlement takes spans; from the server's statistics, seconds behind."""
    settlement_leads: bool
    outbox_waiting: int
    oldest_change_at: datetime | None
    leases: int
    """Partitions whose ingest worker holds a valid lease."""
    dead_letters_waiting: int
    taken_p50_s: float | None
    """From receipt at the gateway to the start of the transaction that wrote the row, of the newest reports."""
    taken_p99_s: float | None
    database_bytes: int


_PATH = f"""
SELECT
    (SELECT count(*)::int FROM (SELECT FROM touched_spans LIMIT {MAX_COUNTED}) s) AS spans_waiting,
    (SELECT touched_at FROM touched_spans ORDER BY span_id LIMIT 1) AS oldest_span_at,
    COALESCE((SELECT n_tup_del FROM pg_stat_user_tables WHERE relid = 'touched_spans'::regclass), 0) AS spans_taken,
    EXISTS (SELECT FROM pg_locks
            WHERE locktype = 'advisory' AND granted AND objsubid = 1
              AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
              AND (classid::bigint << 32) + objid::bigint = {SETTLEMENT_LOCK}) AS settlement_leads,
    (SELECT count(*)::int FROM (SELECT FROM outbox LIMIT {MAX_COUNTED}) o) AS outbox_waiting,
    (SELECT changed_at FROM outbox ORDER BY outbox_id LIMIT 1) AS oldest_change_at,
    (SELECT count(*)::int FROM watermarks WHERE holder IS NOT NULL AND lease_until > now()) AS leases,
    (SELECT count(*)::int FROM dead_letters WHERE replayed_at IS NULL) AS dead_letters_waiting,
    latest.p50 AS taken_p50_s, latest.p99 AS taken_p99_s,
    pg_database_size(current_database()) AS database_bytes
FROM (SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY s) AS p50,
          percentile_cont(0.99) WITHIN GROUP (ORDER BY s) AS p99
      FROM (SELECT extract(epoch FROM taken_at - received_at)::float8 AS s FROM reports
            WHERE received_at > now() - INTERVAL '1 day' ORDER BY received_at DESC LIMIT {LATEST_REPORTS}) r) latest
"""  # noqa: S608 - joins constants


async def get_path(pool: ReadPool) -> PathRow:
    row = await pool.fetch_one(PathRow, _PATH)
    assert row is not None  # noqa: S101 - a query without FROM of a table has one row
    return row
