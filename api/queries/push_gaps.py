"""Times in which an operator's platform pushed nothing although pushes were to be expected, and who is missed.

What is read is what was received: the `source` of a pushed report begins with its product's name. A pause is a gap when
on the days before, between the same hours, so many pushes came that their absence is no chance.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from api.database import ReadPool

PAUSE_MIN = timedelta(seconds=45)
"""A platform's cool-down lasts a minute."""

MISSED_MIN = 20
DAYS_BEFORE = 3
"""How many days say what is usual."""

MAX_PAUSES = 200
"""The longest ones of the period are looked at."""

MAX_MISSED = 10_000
SLACK = timedelta(minutes=30)
"""By so much a meter's daily report may come earlier or later than the day before."""

_GAPS = """
WITH pushes AS (
    SELECT split_part(source, ' ', 1) AS product, received_at
    FROM reports
    WHERE door IN ('ctwing', 'iotda') AND received_at >= $1
    UNION ALL
    SELECT DISTINCT split_part(source, ' ', 1), $2::timestamptz
    FROM reports
    WHERE door IN ('ctwing', 'iotda') AND received_at >= $1
), pauses AS (
    SELECT product, lag(received_at) OVER (PARTITION BY product ORDER BY received_at) AS since, received_at AS until
    FROM pushes
), longest AS (
    SELECT * FROM pauses WHERE until - since >= $3 ORDER BY until - since DESC LIMIT $4
)
SELECT l.product, l.since, l.until, l.until = $2 AS lasts, usual.missing
FROM longest l CROSS JOIN LATERAL (
    SELECT (count(*) / greatest(count(DISTINCT days.back), 1))::int AS missing
    FROM generate_series(1, $5::int) AS days (back)
    JOIN reports r ON r.received_at > l.since - days.back * interval '1 day'
                  AND r.received_at < l.until - days.back * interval '1 day'
                  AND r.door IN ('ctwing', 'iotda') AND split_part(r.source, ' ', 1) = l.product
) AS usual
WHERE usual.missing >= $6
ORDER BY l.since DESC
"""

_MISSED = """
WITH before AS (
    SELECT DISTINCT ON (r.device_id) r.device_id, r.received_at, r.report_id
    FROM reports r
    WHERE r.received_at BETWEEN $2::timestamptz - interval '1 day' - $4::interval
                            AND $3::timestamptz - interval '1 day' + $4::interval
      AND r.door IN ('ctwing', 'iotda') AND split_part(r.source, ' ', 1) = $1 AND r.device_id IS NOT NULL
      AND r.reason IS DISTINCT FROM 'foreign_device'
    ORDER BY r.device_id, r.received_at DESC
)
SELECT d.device, m.serial, raw.payload
FROM before
JOIN devices d USING (device_id)
JOIN installations i ON i.device_id = d.device_id AND i.valid_to IS NULL
JOIN meters m ON m.meter_id = i.meter_id
LEFT JOIN raw_reports raw ON raw.received_at = before.received_at AND raw.report_id = before.report_id
WHERE NOT EXISTS (
    SELECT FROM reports later
    WHERE later.device_id = d.device_id AND later.received_at BETWEEN $2::timestamptz - $4::interval
                                                                  AND $3::timestamptz + $4::interval
      AND later.reason IS DISTINCT FROM 'foreign_device'
)
ORDER BY m.serial
LIMIT $5
"""


@dataclass(frozen=True, slots=True)
class PushGap:
    """`missing`: how many pushes came in these hours on an average day before. `lasts`: none has come since."""

    product: str
    since: datetime
    until: datetime
    lasts: bool
    missing: int


@dataclass(frozen=True, slots=True)
class MissedMeter:
    """A meter that reported in these hours of the day before, and did not in the gap. `payload`: of that report."""

    device: str
    serial: str
    payload: bytes | None


async def list_push_gaps(pool: ReadPool, since: datetime, now: datetime) -> list[PushGap]:
    """The newest first. One that still lasts ends at `now`."""
    return await pool.fetch(PushGap, _GAPS, since, now, PAUSE_MIN, MAX_PAUSES, DAYS_BEFORE, MISSED_MIN)


async def list_missed_meters(pool: ReadPool, product: str, since: datetime, until: datetime) -> list[MissedMeter]:
    """At most MAX_MISSED, by serial. The gap must be shorter than a day."""
    return await pool.fetch(MissedMeter, _MISSED, product, since, until, SLACK, MAX_MISSED)
