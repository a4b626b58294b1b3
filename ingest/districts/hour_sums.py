"""The sums of one hour, read from the database: of all districts, or of a few whose past is looked up.

What one hour of a city of a million meters costs is reading all of their steps. A district that is new needs 2,880 past
hours of its own meters only.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime
from importlib import resources
from typing import Any, NamedTuple

from .known_hours import PLAUSIBLE_Q4

REACH_H = 3
"""So far beside an hour readings are looked for; meters that report more seldom are estimated until they are known."""
MAX_DISTRICTS = 5_000
MAX_METERS_APART = 50_000
"""Of districts that are summed apart from the others; for more, reading the hour of all meters is no dearer."""

_MEMBERS = """
WITH RECURSIVE below AS (
    SELECT unnest($1::bigint[]) AS zone_id
    UNION SELECT z.zone_id FROM zones z JOIN below b ON z.parent_id = b.zone_id
)
SELECT meter_id FROM (
    SELECT i.meter_id FROM below JOIN service_points USING (zone_id) JOIN installations i USING (service_point_id)
    UNION SELECT meter_id FROM zone_flows WHERE zone_id = ANY ($1)) members
LIMIT $2"""

_CUSTOM = "SET LOCAL plan_cache_mode = force_custom_plan"
"""A plan for any districts would read the hour of all meters, and open every chunk."""


class Few(NamedTuple):
    """Districts that are summed apart from the others, and all meters they ever had."""

    zone_ids: list[int]
    meter_ids: list[int]


async def few(pool: Any, zone_ids: Sequence[int]) -> Few | None:
    """None when these are so many that all districts are summed as well."""
    rows = await pool.fetch(_MEMBERS, list(zone_ids), MAX_METERS_APART + 1)
    return Few(list(zone_ids), [row[0] for row in rows]) if len(rows) <= MAX_METERS_APART else None


async def of_hour(pool: Any, hour_s: int, usual: Sequence[date], chosen: Few | None) -> list[Any]:
    """A row of sums for each district that had an inlet then, `chosen` or all, MAX_DISTRICTS at most; `usual`: the
    local days from which a meter's usual use is learnt."""
    hour = datetime.fromtimestamp(hour_s, UTC)
    zone_ids, meter_ids = chosen or (None, None)
    async with pool.acquire() as connection, connection.transaction(readonly=True):
        await connection.execute(_CUSTOM)
        rows: list[Any] = await connection.fetch(_sql(), hour, REACH_H, PLAUSIBLE_Q4, usual, zone_ids, meter_ids)
    return rows[:MAX_DISTRICTS]


def _sql() -> str:
    return resources.files("ingest.districts").joinpath("hours.sql").read_text()
