"""When meters report: what `nbwater plan spread` starts from."""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple

from api.reporting_plan import DAY_MINUTES, Habit

MAX_DAILY_REPORTS = 2.5
"""A meter that reports more often than so many times a day has no one time to be moved."""

_MINUTES = """
SELECT (extract(epoch FROM received_at)::bigint / 60 % 1440)::int AS minute, count(*) AS reports
FROM reports WHERE received_at >= $1 AND received_at < $2 GROUP BY 1
"""
_HABITS = """
WITH heard AS (
    SELECT meter_id, count(*) AS reports, max(received_at) AS last_at
    FROM reports
    WHERE received_at >= $1 AND received_at < $2 AND outcome IN ('stored', 'partial') AND meter_id IS NOT NULL
    GROUP BY meter_id
)
SELECT m.serial, h.reports, (extract(epoch FROM h.last_at)::bigint % 86400)::int AS second,
    EXISTS (SELECT FROM commands c WHERE c.device_id = d.device_id AND c.kind = 3
            AND c.state IN ('awaiting_approval', 'queued', 'handed_over')) AS planned
FROM heard h
JOIN meters m USING (meter_id)
JOIN installations i ON i.meter_id = h.meter_id AND i.valid_to IS NULL
JOIN devices d ON d.device_id = i.device_id AND d.enabled
ORDER BY m.serial
"""


class Habits(NamedTuple):
    """`minutes`: all reports by minute of the UTC day, on average a day. `planned`: meters that a plan waits for
    already; `frequent`: those that report more than once a day; neither is among `daily`."""

    minutes: list[int]
    daily: list[Habit]
    planned: int
    frequent: int


async def measured_habits(connection: Any, since: datetime, until: datetime) -> Habits:
    """From the reports received between the two instants."""
    days = max(1.0, (until - since).total_seconds() / 86_400)
    minutes = [0] * DAY_MINUTES
    for row in await connection.fetch(_MINUTES, since, until):
        minutes[row["minute"]] = round(row["reports"] / days)
    rows = await connection.fetch(_HABITS, since, until)
    seldom = [row for row in rows if row["reports"] <= MAX_DAILY_REPORTS * days]
    daily = [Habit(row["serial"], row["second"]) for row in seldom if not row["planned"]]
    return Habits(minutes, daily, len(seldom) - len(daily), len(rows) - len(seldom))
