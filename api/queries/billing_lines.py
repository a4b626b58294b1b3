"""The lines of a billing period, in pages of meters: as billed where it is closed, as known now where it is open."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import date
from zoneinfo import ZoneInfo

from api.database import ReadPool
from api.queries.billing import PeriodRow

METERS_A_PAGE = 2_000


@dataclass(frozen=True, slots=True)
class BillingLine:
    """One installation in one period; fields in the order of the export's columns."""

    period: str
    state: str
    """'open': not billed yet, this is what is known now."""
    zone: str
    service_point_id: int
    customer: str
    address: str
    serial: str
    installation_id: int
    multiplier: int
    first_day: date
    last_day: date
    start_index_ml: int
    """At the local midnight at which `first_day` begins; the nearest reading where none reaches it."""
    end_index_ml: int
    """At the local midnight at which `last_day` ends, likewise."""
    consumption_ml: int
    billed_ml: int
    """consumption_ml × multiplier."""
    corrected_ml: int
    """Sum of what was corrected after closing."""
    excluded_ml: int
    quality: str
    reasons: str
    """Separated by spaces."""
    complete: bool
    days: int
    measured_days: int
    interpolated_days: int
    estimated_days: int
    edited_days: int
    missing_days: int
    meter_index_ml: int | None
    """What the meter itself froze at its settlement day."""


_PAGE = "SELECT meter_id FROM meters WHERE meter_id > $1 ORDER BY meter_id LIMIT $2"
_LINES = """
SELECT $1::text AS period, $2::text AS state, COALESCE(z.code, '') AS zone, l.service_point_id,
       COALESCE(sp.customer, '') AS customer, COALESCE(sp.address, '') AS address, m.serial, l.installation_id,
       l.multiplier, l.first_day, l.last_day, l.start_index_ml, l.end_index_ml, l.consumption_ml, l.billed_ml,
       COALESCE((SELECT sum(c.difference_ml) FROM billing_corrections c JOIN billing_periods p USING (period_id)
                 WHERE p.name = $1 AND c.installation_id = l.installation_id), 0)::bigint AS corrected_ml,
       l.excluded_ml, l.quality, array_to_string(l.reasons, ' ') AS reasons, l.complete, l.days, l.measured_days,
       l.interpolated_days, l.estimated_days, l.edited_days, l.last_day - l.first_day + 1 - l.days AS missing_days,
       l.meter_index_ml
FROM ({lines}) l
JOIN meters m ON m.meter_id = l.meter_id
JOIN service_points sp ON sp.service_point_id = l.service_point_id
LEFT JOIN zones z ON z.zone_id = sp.zone_id
ORDER BY l.meter_id, l.first_day, l.installation_id
"""
_BILLED = _LINES.format(
    lines="SELECT e.* FROM billing_entries e JOIN billing_periods p USING (period_id) "
    "WHERE p.name = $1 AND e.meter_id = ANY ($3::bigint[])"
)
_KNOWN_NOW = _LINES.format(
    lines="SELECT *, NULL::bigint AS meter_index_ml FROM billing_lines($4::date, $5::date, $6, $3::bigint[])"
)


async def pages_of_lines(pool: ReadPool, period: PeriodRow, zone: ZoneInfo) -> AsyncIterator[list[BillingLine]]:
    """All lines, sorted by meter; memory holds one page."""
    last = 0
    while meters := [row["meter_id"] for row in await pool.records(_PAGE, last, METERS_A_PAGE)]:
        last = meters[-1]
        if period.state == "closed":
            yield await pool.fetch(BillingLine, _BILLED, period.name, period.state, meters)
        else:
            yield await pool.fetch(
                BillingLine, _KNOWN_NOW, period.name, period.state, meters, period.first_day, period.last_day, zone.key
            )
