"""The life of an alert in the database: raised once, updated while its evidence lasts, ended when that is gone.

One alert per meter and kind is active (open or acknowledged). An ended one stays with people until they close it. A
closed one is followed by a new one only on new evidence: after `resolved`, evidence that lies wholly after what the
closed one had seen; after `dismissed` (a person said this is none), a fault that began after that one had ended.
Nothing is raised, nor raised again, on evidence whose newest lies in a suppression window (alert_suppressed_until of
the schema): what is still there after the window is raised as of its end. All times are those of the data, so that
replayed history gives the alerts it would have given then, and running twice changes nothing.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import asyncpg
from prometheus_client import Counter

RAISED = Counter("nbwater_ingest_alerts_raised_total", "Alerts raised, by kind", ["kind"])


class Finding(NamedTuple):
    """A fault that evidence shows now. Times in Unix seconds UTC."""

    meter_id: int
    kind: str
    severity: str
    """info, warning or critical."""
    started_at_s: int
    """When the fault began, as far as is known."""
    evidence_from_s: int
    """Begin of the evidence that this finding needs."""
    raised_at_s: int
    """When the evidence was first enough."""
    seen_at_s: int
    """The newest evidence."""
    rate_ml_h: int | None
    """What is being lost; the loss so far is this rate since the fault began, by `flowing_share` of the evidence where
    it comes and goes."""
    evidence: dict[str, Any]
    certainty: str | None = None
    """suspected or confirmed; None: of a kind that is there or not."""
    rate_low_ml_h: int | None = None
    rate_high_ml_h: int | None = None
    """Interval of the rate."""


class Ended(NamedTuple):
    """The fault's evidence is gone since `ended_at_s`."""

    meter_id: int
    kind: str
    ended_at_s: int


_FOUND = """
WITH found AS (
    SELECT *, COALESCE((evidence::jsonb->>'flowing_share')::numeric, 1) AS flowing_share
    FROM unnest($1::bigint[], $2::text[], $3::text[], $4::timestamptz[], $5::timestamptz[],
                $6::timestamptz[], $7::timestamptz[], $8::bigint[], $9::text[], $10::text[], $11::bigint[],
                $12::bigint[])
        AS f (meter_id, kind, severity, started_at, evidence_from, raised_at, seen_at, rate_ml_h, evidence, certainty,
              rate_low_ml_h, rate_high_ml_h)
)"""

_UPDATE = f"""{_FOUND}, current AS (
    SELECT a.alert_id, f.*,
           CASE WHEN a.ended_at IS NULL THEN LEAST(a.started_at, f.started_at) ELSE f.started_at END AS began
    FROM found f
    JOIN alerts a ON a.meter_id = f.meter_id AND a.kind = f.kind AND a.state IN ('open', 'acknowledged')
    WHERE f.seen_at >= a.last_seen_at AND (a.ended_at IS NULL OR (
        f.seen_at > a.ended_at AND alert_suppressed_until(f.meter_id, NULL, f.kind, f.seen_at) IS NULL))
)
UPDATE alerts a
SET severity = c.severity, started_at = c.began,
    raised_at = CASE WHEN a.ended_at IS NULL THEN a.raised_at ELSE c.raised_at END,
    last_seen_at = c.seen_at, ended_at = NULL, rate_ml_h = c.rate_ml_h,
    rate_low_ml_h = c.rate_low_ml_h, rate_high_ml_h = c.rate_high_ml_h, certainty = c.certainty,
    loss_ml = (c.rate_ml_h * c.flowing_share * extract(epoch FROM c.seen_at - c.began) / 3600)::bigint,
    evidence = c.evidence::jsonb
FROM current c
WHERE a.alert_id = c.alert_id"""  # noqa: S608 - joins two constants

_RAISE = f"""{_FOUND},
raised AS (
    INSERT INTO alerts (kind, severity, meter_id, service_point_id, started_at, raised_at, last_seen_at, rate_ml_h,
                        loss_ml, evidence, certainty, rate_low_ml_h, rate_high_ml_h)
    SELECT f.kind, f.severity, f.meter_id, i.service_point_id, f.started_at,
           COALESCE(alert_suppressed_until(f.meter_id, NULL, f.kind, f.raised_at), f.raised_at), f.seen_at,
           f.rate_ml_h, (f.rate_ml_h * f.flowing_share * extract(epoch FROM f.seen_at - f.started_at) / 3600)::bigint,
           f.evidence::jsonb, f.certainty, f.rate_low_ml_h, f.rate_high_ml_h
    FROM found f
    LEFT JOIN LATERAL (
        SELECT service_point_id FROM installations
        WHERE meter_id = f.meter_id AND valid_from <= f.seen_at AND (valid_to IS NULL OR valid_to > f.seen_at)
        ORDER BY valid_from DESC LIMIT 1
    ) i ON true
    WHERE NOT EXISTS (
        SELECT FROM alerts a WHERE a.meter_id = f.meter_id AND a.kind = f.kind AND (
            a.state IN ('open', 'acknowledged')
            OR (a.state = 'resolved' AND a.last_seen_at >= f.evidence_from)
            OR (a.state = 'dismissed' AND (a.ended_at IS NULL OR a.ended_at > f.started_at))
        )
    ) AND alert_suppressed_until(f.meter_id, NULL, f.kind, f.seen_at) IS NULL
    ON CONFLICT DO NOTHING
    RETURNING alert_id, kind, raised_at
), noted AS (
    INSERT INTO alert_events (alert_id, at, to_state, actor) SELECT alert_id, raised_at, 'open', 'platform' FROM raised
)
SELECT kind, count(*) AS alerts FROM raised GROUP BY kind"""  # noqa: S608 - joins two constants

_END = """
UPDATE alerts a SET ended_at = e.ended_at, certainty = CASE WHEN a.certainty IS NOT NULL THEN 'cleared' END
FROM unnest($1::bigint[], $2::text[], $3::timestamptz[]) AS e (meter_id, kind, ended_at)
WHERE a.meter_id = e.meter_id AND a.kind = e.kind AND a.state <> 'resolved'
  AND a.ended_at IS NULL AND e.ended_at >= a.last_seen_at"""


async def raise_or_update(connection: asyncpg.Connection, findings: Sequence[Finding]) -> None:
    """Brings the alerts in line with the findings: at most one per meter and kind. Joins the caller's transaction."""
    if not findings:
        return
    columns = list(zip(*findings, strict=True))
    arguments = [
        *columns[:3], *(list(map(instant, column)) for column in columns[3:7]), columns[7],
        [json.dumps(evidence) for evidence in columns[8]], *columns[9:],
    ]  # fmt: skip
    await connection.execute(_UPDATE, *arguments)
    for row in await connection.fetch(_RAISE, *arguments):
        RAISED.labels(row["kind"]).inc(row["alerts"])


async def end(connection: asyncpg.Connection, ended: Sequence[Ended]) -> None:
    """Notes where the evidence of alerts is gone, dismissed ones too; at most one per meter and kind."""
    if ended:
        meters, kinds, times = zip(*ended, strict=True)
        await connection.execute(_END, meters, kinds, list(map(instant, times)))


def instant(unix_s: int) -> datetime:
    return datetime.fromtimestamp(unix_s, UTC)
