"""The figures of the first page."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from api.database import ReadPool

SERIES_DAYS = 14


@dataclass(frozen=True, slots=True)
class DayPoint:
    """One local day of the utility's customers: what went through a district's inlets is not counted a second time. A
    day that is still running, or not yet settled, is low."""

    day: date
    consumption_ml: int
    metered: int
    """Meters with a settled day."""
    incomplete: int
    """Of those, meters whose readings do not reach both midnights."""
    received: int
    """Reports received that day, all doors."""


@dataclass(frozen=True, slots=True)
class Overview:
    meters: int
    """Installed now."""
    reporting: int
    """Of those, heard of within the silence limit."""
    today_ml: int
    """Water of the current local day as far as it is settled."""
    received_today: int
    dead_letters_waiting: int
    open_alerts: dict[str, int]
    """Open and acknowledged alerts by severity; every severity is there."""
    last_report_at: datetime | None
    series: list[DayPoint]
    """The last 14 local days, oldest first, today included."""

    @property
    def reporting_rate(self) -> float | None:
        """Share of installed meters that report, 0 to 1; None without meters."""
        return self.reporting / self.meters if self.meters else None


@dataclass(frozen=True, slots=True)
class _Counts:
    meters: int
    reporting: int
    dead_letters_waiting: int
    critical: int
    warning: int
    info: int
    last_report_at: datetime | None


_COUNTS = """
SELECT m.meters, m.reporting, m.last_report_at, d.dead_letters_waiting, a.critical, a.warning, a.info
FROM (SELECT count(*) AS meters, count(*) FILTER (WHERE l.last_report_at >= $1) AS reporting,
          max(l.last_report_at) AS last_report_at
      FROM installations i LEFT JOIN device_latest l ON l.device_id = i.device_id WHERE i.valid_to IS NULL) m
CROSS JOIN (SELECT count(*) AS dead_letters_waiting FROM dead_letters WHERE replayed_at IS NULL) d
CROSS JOIN (SELECT count(*) FILTER (WHERE severity = 'critical') AS critical,
                count(*) FILTER (WHERE severity = 'warning') AS warning,
                count(*) FILTER (WHERE severity = 'info') AS info
            FROM alerts WHERE state IN ('open', 'acknowledged')) a
"""

_SERIES = """
SELECT days.day::date AS day, COALESCE(s.consumption_ml, 0)::bigint AS consumption_ml,
    COALESCE(s.metered, 0) AS metered, COALESCE(s.incomplete, 0) AS incomplete,
    COALESCE(r.received, 0)::bigint AS received
FROM generate_series($1::date::timestamp, $2::date::timestamp, INTERVAL '1 day') AS days(day)
LEFT JOIN (SELECT day, sum(consumption_ml) AS consumption_ml, count(*) AS metered,
               count(*) FILTER (WHERE NOT complete) AS incomplete
           FROM settled_days d WHERE day >= $1 AND day <= $2
               AND NOT EXISTS (SELECT FROM zone_flows f WHERE f.meter_id = d.meter_id)
           GROUP BY day) s ON s.day = days.day::date
LEFT JOIN (SELECT day, sum(received) AS received FROM accounting WHERE day >= $1 AND day <= $2 GROUP BY day) r
    ON r.day = days.day::date
ORDER BY 1
"""


async def get_overview(pool: ReadPool, *, now: datetime, silence_after: timedelta, zone: ZoneInfo) -> Overview:
    """Counts the whole utility: with a million meters this takes seconds, so callers share one result for a while."""
    today = now.astimezone(zone).date()
    counts = await pool.fetch_one(_Counts, _COUNTS, now - silence_after) or _Counts(0, 0, 0, 0, 0, 0, None)
    series = await pool.fetch(DayPoint, _SERIES, today - timedelta(days=SERIES_DAYS - 1), today)
    return Overview(
        meters=counts.meters,
        reporting=counts.reporting,
        today_ml=series[-1].consumption_ml,
        received_today=series[-1].received,
        dead_letters_waiting=counts.dead_letters_waiting,
        open_alerts={"critical": counts.critical, "warning": counts.warning, "info": counts.info},
        last_report_at=counts.last_report_at,
        series=series,
    )


async def received_total(pool: ReadPool, today: date) -> int:
    """Reports taken on the last two local days, all doors: grows steadily, so its slope is the live rate."""
    total = await pool.value(
        "SELECT COALESCE(sum(received), 0)::bigint FROM accounting WHERE day >= $1", today - timedelta(days=1)
    )
    return int(total)
