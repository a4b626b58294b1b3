"""Expected against received readings by meter, zone and local day (抄表成功率).

What counts as read is the utility's own definition: so many readings of the day, and if it likes both midnights
reached. Expected is each meter whose installation covers the day and whose device is enabled now.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from zoneinfo import ZoneInfo

from api.database import ReadPool
from api.queries.accounting import midnight
from api.queries.paging import Page, check_limit, decode_cursor, page
from metering.errors import RequestError
from metering.settings import CompletenessSettings

MAX_DAYS = 31


@dataclass(frozen=True, slots=True)
class ZoneDay:
    """One zone, those below it included, on one local day; `zone` '' is all meters."""

    day: date
    zone: str
    name: str
    meters: int
    """That were to be read."""
    read: int
    expected_readings: int
    received_readings: int
    """Of each meter no more than was expected."""

    @property
    def rate(self) -> float | None:
        return self.read / self.meters if self.meters else None


@dataclass(frozen=True, slots=True)
class MeterDay:
    serial: str
    zone: str
    address: str
    readings: int
    complete: bool
    """Readings reach both of the day's midnights."""
    is_read: bool


_EXPECTED = """
WITH expected AS (
    SELECT i.meter_id, sp.zone_id, sp.address, COALESCE(d.readings, 0) AS readings,
           COALESCE(d.complete, false) AS complete,
           COALESCE(d.readings >= $4 AND (d.complete OR NOT $5), false) AS is_read
    FROM installations i
    JOIN devices v ON v.device_id = i.device_id AND v.enabled
    JOIN service_points sp USING (service_point_id)
    LEFT JOIN settled_days d ON d.meter_id = i.meter_id AND d.day = $1
    WHERE i.valid_from <= $2 AND (i.valid_to IS NULL OR i.valid_to >= $3)
)
"""
_ZONES = f"""
WITH RECURSIVE below AS (
    SELECT zone_id AS top, zone_id FROM zones
    UNION SELECT b.top, z.zone_id FROM below b JOIN zones z ON z.parent_id = b.zone_id
), counted AS ({_EXPECTED}
    SELECT zone_id, count(*) AS meters, count(*) FILTER (WHERE is_read) AS read,
           sum(LEAST(readings, $6::integer)) AS received
    FROM expected GROUP BY zone_id
)
SELECT $1::date AS day, '' AS zone, '' AS name, COALESCE(sum(meters), 0)::bigint AS meters,
       COALESCE(sum(read), 0)::bigint AS read, COALESCE(sum(meters) * $6, 0)::bigint AS expected_readings,
       COALESCE(sum(received), 0)::bigint AS received_readings
FROM counted
UNION ALL
(SELECT $1::date, z.code, z.name, sum(c.meters)::bigint, sum(c.read)::bigint, (sum(c.meters) * $6)::bigint,
        sum(c.received)::bigint
 FROM below b JOIN counted c ON c.zone_id = b.zone_id JOIN zones z ON z.zone_id = b.top
 GROUP BY z.zone_id ORDER BY z.code)
"""  # noqa: S608 - joins two constants
_METERS = f"""{_EXPECTED}
SELECT m.serial, COALESCE(z.code, '') AS zone, e.address, e.readings, e.complete, e.is_read
FROM expected e JOIN meters m USING (meter_id) LEFT JOIN zones z USING (zone_id)
WHERE m.serial > $6 AND ($7::text IS NULL OR z.code = $7) AND ($8::boolean IS NULL OR e.is_read = $8)
ORDER BY m.serial LIMIT $9
"""  # noqa: S608 - joins two constants


def _asked(day: date, settings: CompletenessSettings, zone: ZoneInfo) -> tuple[object, ...]:
    """An installation counts when it covers the whole day: a meter that was put in at noon could not be complete."""
    begin, end = midnight(day, zone), midnight(day + timedelta(days=1), zone)
    return day, begin, end, settings.success_readings, settings.success_needs_midnight


async def completeness_of_zones(
    pool: ReadPool, first: date, last: date, settings: CompletenessSettings, zone: ZoneInfo
) -> list[ZoneDay]:
    """For each day all meters first, then each zone by code. Raises RequestError for more than MAX_DAYS."""
    days = (last - first).days + 1
    if not 0 < days <= MAX_DAYS:
        raise RequestError(f"1 to {MAX_DAYS} days at a time")
    found: list[ZoneDay] = []
    for number in range(days):
        asked = _asked(first + timedelta(days=number), settings, zone)
        found += await pool.fetch(ZoneDay, _ZONES, *asked, settings.expected_readings)
    return found


async def completeness_of_meters(
    pool: ReadPool, day: date, settings: CompletenessSettings, zone: ZoneInfo, *, code: str | None = None,
    is_read: bool | None = None, limit: int = 100, cursor: str | None = None,
) -> Page[MeterDay]:  # fmt: skip
    """The meters that were to be read on a day, by serial; `code`: only those directly in this zone."""
    (after,) = decode_cursor(cursor, str) if cursor else ("",)
    asked = _asked(day, settings, zone)
    rows = await pool.fetch(MeterDay, _METERS, *asked, after, code, is_read, check_limit(limit) + 1)
    return page(rows, limit, lambda row: [row.serial])
