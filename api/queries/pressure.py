"""Pressure of a meter over time, as its reports say it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from api.database import ReadPool
from metering.model import MeterId

MAX_ROWS = 10_000


@dataclass(frozen=True, slots=True)
class PressureRow:
    """`at`: when the report was received."""

    at: datetime
    pressure_kpa: int


_PRESSURE = """
SELECT received_at AS at, pressure_kpa FROM reports
WHERE meter_id = $1 AND received_at >= $2 AND received_at < $3 AND pressure_kpa IS NOT NULL
    AND outcome IN ('stored', 'partial')
ORDER BY received_at LIMIT 10000"""


async def list_pressure(pool: ReadPool, meter_id: MeterId, since: datetime, until: datetime) -> list[PressureRow]:
    """Oldest first, MAX_ROWS at most; empty for a meter without a sensor."""
    return await pool.fetch(PressureRow, _PRESSURE, meter_id, since, until)
