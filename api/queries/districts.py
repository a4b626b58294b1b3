"""Districts: their tree with what the last whole day lost, their balance by hour and day, and the IWA balance."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal

from api.database import ReadPool
from metering.errors import NotFoundError
from metering.water_balance import Pipes, WaterBalance, water_balance

MAX_DISTRICTS = 5_000
MAX_ROWS = 3_700
MAX_FLOW_METERS = 100
ML_PER_M3 = 1_000_000
LEAST_SHARE_OF_DAYS = 0.5
"""A period in which fewer days are known has no balance worth a figure."""


@dataclass(frozen=True, slots=True)
class DistrictRow:
    """A zone in the order of its tree; figures of its newest whole day, None where it has no inlet meter."""

    zone_id: int
    code: str
    name: str
    kind: str
    depth: int
    day: date | None
    inflow_ml: int | None
    customers_ml: int | None
    sigma_ml: int | None
    night_inflow_ml_h: int | None
    night_use_ml_h: int | None
    alerts: int


@dataclass(frozen=True, slots=True)
class BalanceRow:
    """An hour or a day of a district; `unaccounted_ml` ± 1.96 `sigma_ml` is the 95 % band."""

    start: datetime | date
    inflow_ml: int | None
    customers_ml: int
    estimated_ml: int
    unaccounted_ml: int | None
    sigma_ml: int
    measured_share: float
    night_inflow_ml_h: int | None = None
    night_use_ml_h: int | None = None


@dataclass(frozen=True, slots=True)
class FlowMeter:
    """A meter at a boundary of a district, as it is now."""

    serial: str
    direction: Literal["in", "out"]
    valid_from: datetime | None
    """None: as long as anything is known."""
    last_ts: datetime | None
    """Time of its newest reading; None: none yet. Without one there is no balance."""


@dataclass(frozen=True, slots=True)
class PeriodBalance:
    """The IWA balance of a period, extrapolated from no day that is not known."""

    first: date
    last: date
    days: int
    days_known: int
    balance: WaterBalance | None
    non_revenue_money: float | None


_TREE = """
WITH RECURSIVE tree AS (
    SELECT zone_id, code, name, kind, 0 AS depth, ARRAY[code] AS path FROM zones WHERE parent_id IS NULL
    UNION ALL
    SELECT z.zone_id, z.code, z.name, z.kind, t.depth + 1, t.path || z.code
    FROM zones z JOIN tree t ON z.parent_id = t.zone_id WHERE t.depth < 16
)
SELECT t.zone_id, t.code, t.name, t.kind, t.depth, d.day, d.inlet_ml - d.outlet_ml AS inflow_ml, d.customers_ml,
    d.sigma_ml, d.night_inflow_ml_h, d.night_use_ml_h,
    (SELECT count(*) FROM alerts a WHERE a.zone_id = t.zone_id AND a.state IN ('open', 'acknowledged')) AS alerts
FROM tree t
LEFT JOIN LATERAL (SELECT * FROM zone_days WHERE zone_id = t.zone_id AND inlet_ml IS NOT NULL AND day < $1
                   ORDER BY day DESC LIMIT 1) d ON true
ORDER BY t.path LIMIT 5000"""

_HOURS = """
SELECT hour AS start, inlet_ml - outlet_ml AS inflow_ml, customers_ml, estimated_ml,
    inlet_ml - outlet_ml - customers_ml AS unaccounted_ml, sigma_ml,
    measured::float8 / GREATEST(meters, 1) AS measured_share
FROM zone_hours WHERE zone_id = $1 AND hour >= $2 AND hour < $3 ORDER BY hour LIMIT 3700"""

_DAYS = """
SELECT day AS start, inlet_ml - outlet_ml AS inflow_ml, customers_ml, estimated_ml,
    inlet_ml - outlet_ml - customers_ml AS unaccounted_ml, sigma_ml, measured_share::float8 AS measured_share,
    night_inflow_ml_h, night_use_ml_h
FROM zone_days WHERE zone_id = $1 AND day BETWEEN $2 AND $3 ORDER BY day LIMIT 3700"""

_SUMS = """
SELECT count(*) AS days, COALESCE(sum(inlet_ml - outlet_ml), 0)::bigint AS input_ml,
    COALESCE(sum(customers_ml), 0)::bigint AS billed_ml
FROM zone_days WHERE zone_id = $1 AND day BETWEEN $2 AND $3 AND inlet_ml IS NOT NULL AND outlet_ml IS NOT NULL"""


_FLOWS = """
SELECT m.serial, f.direction, NULLIF(f.valid_from, '-infinity') AS valid_from, l.last_ts
FROM zone_flows f
JOIN meters m USING (meter_id)
LEFT JOIN LATERAL (SELECT max(last_ts) AS last_ts FROM device_latest
                   WHERE meter_id = f.meter_id) l ON true
WHERE f.zone_id = $1 AND f.valid_from <= $2 AND (f.valid_to IS NULL OR f.valid_to > $2)
ORDER BY f.direction, m.serial LIMIT $3"""


async def list_districts(pool: ReadPool, today: date) -> list[DistrictRow]:
    """All zones in the order of their tree, MAX_DISTRICTS at most."""
    return await pool.fetch(DistrictRow, _TREE, today)


async def zone_id_of(pool: ReadPool, code: str) -> int:
    """Raises NotFoundError."""
    zone_id = await pool.value("SELECT zone_id FROM zones WHERE code = $1", code)
    if zone_id is None:
        raise NotFoundError(f"there is no zone {code}")
    return int(zone_id)


async def flow_meters(pool: ReadPool, zone_id: int, now: datetime) -> list[FlowMeter]:
    """Inlets, then outlets; MAX_FLOW_METERS at most."""
    return await pool.fetch(FlowMeter, _FLOWS, zone_id, now, MAX_FLOW_METERS)


async def balance_hours(pool: ReadPool, zone_id: int, since: datetime, until: datetime) -> list[BalanceRow]:
    return await pool.fetch(BalanceRow, _HOURS, zone_id, since, until)


async def balance_days(pool: ReadPool, zone_id: int, first: date, last: date) -> list[BalanceRow]:
    return await pool.fetch(BalanceRow, _DAYS, zone_id, first, last)


async def period_balance(pool: ReadPool, zone_id: int, first: date, last: date, price_per_m3: float) -> PeriodBalance:
    """The IWA balance of the local days first … last, both included."""
    (sums,) = await pool.records(_SUMS, zone_id, first, last)
    days, known = (last - first).days + 1, int(sums["days"])
    if known < LEAST_SHARE_OF_DAYS * days:
        return PeriodBalance(first, last, days, known, None, None)
    (zone,) = await pool.records("SELECT mains_m, connections, pressure_m FROM zones WHERE zone_id = $1", zone_id)
    balance = water_balance(sums["input_ml"], sums["billed_ml"], known, Pipes(*zone.values()))
    return PeriodBalance(first, last, days, known, balance, balance.non_revenue_ml / ML_PER_M3 * price_per_m3)
