"""Outages: events in which most meters of a zone, a radio cell or a door fell silent together, with their meters."""

from __future__ import annotations

from dataclasses import dataclass

from api.database import ReadPool
from api.queries.paging import Page, check_limit, decode_cursor, page


@dataclass(frozen=True, slots=True)
class OutageMeter:
    serial: str
    address: str


MAX_FILE = 1_000_000
"""Meters of one event in a file."""

_METERS = """
SELECT m.serial, COALESCE(sp.address, '') AS address
FROM alert_meters a JOIN meters m USING (meter_id)
LEFT JOIN installations i ON i.meter_id = a.meter_id AND i.valid_to IS NULL
LEFT JOIN service_points sp USING (service_point_id)
WHERE a.alert_id = $1 AND m.serial > $2 ORDER BY m.serial LIMIT $3
"""


async def meters_of_alert(
    pool: ReadPool, alert_id: int, limit: int = 100, cursor: str | None = None
) -> Page[OutageMeter]:
    """The meters of one event, by serial; none for an alert of a single meter."""
    (after,) = decode_cursor(cursor, str) if cursor else ("",)
    rows = await pool.fetch(OutageMeter, _METERS, alert_id, after, check_limit(limit) + 1)
    return page(rows, limit, lambda row: [row.serial])


async def all_meters_of_alert(pool: ReadPool, alert_id: int) -> list[OutageMeter]:
    """The first MAX_FILE of them by serial."""
    return await pool.fetch(OutageMeter, _METERS, alert_id, "", MAX_FILE)
