"""Districts, live: each hour's balance per district, each day's, and alerts of bursts on mains.

An hour is computed again as its readings come in (`zone_hours.LAGS_H`), never more than MAX_HOURS of them a round. The
detector then looks at the last DAYS days as they are known now: what it says does not depend on when it ran.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from importlib import resources
from typing import Any
from zoneinfo import ZoneInfo

import asyncpg
import numpy as np
import structlog
from prometheus_client import Counter, Gauge

from metering.consumption import HOUR_S

from . import zone_alerts, zone_hours
from .detection import BALANCE_RULES, INFLOW_RULES
from .known_hours import PLAUSIBLE_Q4
from .level_shifts import DAY_H, Floats, Rules, find_shifts
from .zone_alerts import DISTRICT_LEAK, ZoneFinding

EVERY_S = 300.0
REACH_H = 3
"""So far beside an hour readings are looked for; meters that report more seldom are estimated until they are known."""
DAYS = 60
"""Of the past the detector looks at: habits of three weeks, their scale of four, and what happened since."""
USUAL_DAYS_AGO = (1, 2, 7)
"""A meter's usual use is the mean of these days: yesterday's habits and this weekday's, at three rows a meter."""
MAX_DISTRICTS = 5_000
MEASURED_SHARE = 0.9
"""Where fewer customers are measured the balance tells little, and the inflow alone is looked at."""

ROUND = Gauge("nbwater_settlement_districts_round_seconds", "Duration of the last round that computed an hour")
FAILURES = Counter("nbwater_settlement_districts_failures_total", "Rounds of the districts that were rolled back")

_COMPUTED = """
SELECT extract(epoch FROM hour)::bigint, extract(epoch FROM max(computed_at))::bigint
FROM zone_hours WHERE hour >= to_timestamp($1::bigint) GROUP BY hour"""

_WRITE_HOUR = """
INSERT INTO zone_hours (zone_id, hour, inlet_ml, outlet_ml, customers_ml, estimated_ml, sigma_ml, meters, measured)
SELECT zone_id, to_timestamp($9::bigint), inlet_ml, outlet_ml, customers_ml, estimated_ml, sigma_ml, meters, measured
FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::int[], $8::int[])
    AS u (zone_id, inlet_ml, outlet_ml, customers_ml, estimated_ml, sigma_ml, meters, measured)
ON CONFLICT (zone_id, hour) DO UPDATE
SET inlet_ml = EXCLUDED.inlet_ml, outlet_ml = EXCLUDED.outlet_ml, customers_ml = EXCLUDED.customers_ml,
    estimated_ml = EXCLUDED.estimated_ml, sigma_ml = EXCLUDED.sigma_ml, meters = EXCLUDED.meters,
    measured = EXCLUDED.measured, computed_at = now()"""

_WRITE_DAYS = """
INSERT INTO zone_days (zone_id, day, inlet_ml, outlet_ml, customers_ml, estimated_ml, sigma_ml, measured_share,
                       night_inflow_ml_h, night_use_ml_h, night_sigma_ml_h)
SELECT zone_id, local::date, CASE WHEN count(inlet_ml) = count(*) THEN sum(inlet_ml) END,
       CASE WHEN count(outlet_ml) = count(*) THEN sum(outlet_ml) END, sum(customers_ml), sum(estimated_ml),
       sqrt((0.01 * COALESCE(sum(inlet_ml), 0)) ^ 2 / 3
            + sum(GREATEST(sigma_ml::float8 ^ 2 - (0.01 * COALESCE(inlet_ml, 0)) ^ 2 / 3, 0)))::bigint,
       sum(measured)::real / GREATEST(sum(meters), 1),
       percentile_cont(0.5) WITHIN GROUP (ORDER BY inlet_ml - outlet_ml) FILTER (WHERE night),
       percentile_cont(0.5) WITHIN GROUP (ORDER BY customers_ml) FILTER (WHERE night),
       percentile_cont(0.5) WITHIN GROUP (ORDER BY sigma_ml) FILTER (WHERE night AND inlet_ml IS NOT NULL)
FROM (SELECT *, hour AT TIME ZONE $1 AS local, extract(hour FROM hour AT TIME ZONE $1) BETWEEN 2 AND 4 AS night
      FROM zone_hours
      WHERE hour >= $2::date::timestamp AT TIME ZONE $1 AND hour < ($3::date + 1)::timestamp AT TIME ZONE $1) hours
GROUP BY zone_id, local::date
ON CONFLICT (zone_id, day) DO UPDATE
SET inlet_ml = EXCLUDED.inlet_ml, outlet_ml = EXCLUDED.outlet_ml, customers_ml = EXCLUDED.customers_ml,
    estimated_ml = EXCLUDED.estimated_ml, sigma_ml = EXCLUDED.sigma_ml, measured_share = EXCLUDED.measured_share,
    night_inflow_ml_h = EXCLUDED.night_inflow_ml_h, night_use_ml_h = EXCLUDED.night_use_ml_h,
    night_sigma_ml_h = EXCLUDED.night_sigma_ml_h, computed_at = now()"""

_PAST = """
SELECT zone_id, extract(epoch FROM hour)::bigint AS hour_s, (inlet_ml - outlet_ml)::float8 AS inflow,
       customers_ml::float8 AS customers, sigma_ml::float8 AS sigma, measured::float8 / GREATEST(meters, 1) AS share
FROM zone_hours WHERE hour >= to_timestamp($1::bigint) AND hour < to_timestamp($2::bigint)
ORDER BY zone_id, hour"""

_FOUND = """
WITH found AS (
    SELECT $1::bigint AS zone_id, $2::text AS kind, $3::text AS severity, to_timestamp($4::bigint) AS started_at,
           to_timestamp($5::bigint) AS raised_at, to_timestamp($6::bigint) AS seen_at,
           to_timestamp($7::bigint) AS ended_at, $8::bigint AS rate_ml_h,
           ($8::bigint * (COALESCE($7, $6)::bigint - $4::bigint) / 3600)::bigint AS loss_ml, $9::jsonb AS evidence
)"""

_UPDATE = f"""{_FOUND}
UPDATE alerts a
SET severity = f.severity, started_at = f.started_at, last_seen_at = f.seen_at, ended_at = f.ended_at,
    rate_ml_h = f.rate_ml_h, loss_ml = f.loss_ml, evidence = f.evidence
FROM found f
WHERE a.zone_id = f.zone_id AND a.kind = f.kind AND a.state IN ('open', 'acknowledged')
RETURNING a.alert_id"""  # noqa: S608 - joins two constants

_RAISE = f"""{_FOUND}, raised AS (
    INSERT INTO alerts (kind, severity, zone_id, started_at, raised_at, last_seen_at, ended_at, rate_ml_h, loss_ml,
                        evidence)
    SELECT kind, severity, zone_id, started_at,
           COALESCE(alert_suppressed_until(NULL, zone_id, kind, raised_at), raised_at), seen_at, ended_at,
           rate_ml_h, loss_ml, evidence
    FROM found f
    WHERE alert_suppressed_until(NULL, zone_id, kind, seen_at) IS NULL
      AND NOT EXISTS (SELECT FROM alerts a WHERE a.zone_id = f.zone_id AND a.kind = f.kind
                      AND a.raised_at >= f.started_at)
    ON CONFLICT DO NOTHING
    RETURNING alert_id, raised_at
)
INSERT INTO alert_events (alert_id, at, to_state, actor) SELECT alert_id, raised_at, 'open', 'platform' FROM raised
"""  # noqa: S608 - joins two constants


class DistrictStage:
    """Computes what is due and raises alerts. Runs until cancelled."""

    def __init__(self, pool: asyncpg.Pool, zone: ZoneInfo) -> None:
        self._pool, self._zone = pool, zone
        self._empty: dict[int, int] = {}
        """When hours were computed in which no district had an inlet, for which there is no row; forgotten with age."""
        self._log = structlog.get_logger().bind(stage="districts")

    async def run(self) -> None:
        while True:
            try:
                await self.check(int(time.time()))
            except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
                FAILURES.inc()
                self._log.warning("the districts' round failed", error=str(error))
            await asyncio.sleep(EVERY_S)

    async def check(self, now_s: int) -> int:
        """One round at the time `now_s`; returns how many hours it computed."""
        begun = time.monotonic()
        async with self._pool.acquire() as connection, connection.transaction():
            if not await connection.fetchval("SELECT EXISTS (SELECT FROM zone_flows)"):
                return 0
            since_s = now_s - (zone_hours.LAGS_H[-1] + DAY_H) * HOUR_S
            computed = dict(map(tuple, await connection.fetch(_COMPUTED, since_s)))
            self._empty = {hour_s: at_s for hour_s, at_s in self._empty.items() if hour_s >= since_s}
            hours = zone_hours.due(now_s, self._empty | computed)
            for hour_s in hours:
                if not await self._compute(connection, hour_s):
                    self._empty[hour_s] = now_s
            if hours:
                first, last = (self._day(hour_s) for hour_s in (min(hours), max(hours)))
                await connection.execute(_WRITE_DAYS, self._zone.key, first, last)
                await self._detect(connection, max(hours) + HOUR_S)
                ROUND.set(time.monotonic() - begun)
            return len(hours)

    async def _compute(self, connection: Any, hour_s: int) -> bool:
        """Whether a district had an inlet."""
        hour = datetime.fromtimestamp(hour_s, UTC)
        usual = [self._day(hour_s) - timedelta(days=ago) for ago in USUAL_DAYS_AGO]
        rows = await connection.fetch(_sql("hours"), hour, REACH_H, PLAUSIBLE_Q4, usual)
        if rows:
            balanced = zone_hours.columns(map(zone_hours.balanced, rows[:MAX_DISTRICTS]))
            await connection.execute(_WRITE_HOUR, *balanced, hour_s)
        return bool(rows)

    def _day(self, at_s: int) -> date:
        return datetime.fromtimestamp(at_s, self._zone).date()

    async def _detect(self, connection: Any, until_s: int) -> None:
        midnight = datetime.combine(self._day(until_s - DAYS * DAY_H * HOUR_S), datetime.min.time(), self._zone)
        first_s = int(midnight.timestamp())
        past = await connection.fetch(_PAST, first_s, until_s)
        for finding in await asyncio.to_thread(self._found, past, first_s, until_s):
            await _tell(connection, finding, until_s)

    def _found(self, past: Sequence[Any], first_s: int, until_s: int) -> list[ZoneFinding]:
        zones = sorted({row["zone_id"] for row in past})
        hours = (until_s - first_s) // HOUR_S
        table: Floats = np.full((4, len(zones), hours), np.nan)
        at = {zone_id: position for position, zone_id in enumerate(zones)}
        for row in past:
            place = at[row["zone_id"]], (row["hour_s"] - first_s) // HOUR_S
            table[(slice(None), *place)] = [
                np.nan if row[name] is None else row[name] for name in ("inflow", "customers", "sigma", "share")
            ]
        inflow, customers, sigma, share = table
        begins = np.arange(first_s, until_s, HOUR_S, dtype=np.int64)
        offset = np.array([self._offset_s(int(begin)) for begin in begins[::DAY_H]]).repeat(DAY_H)[:hours]
        hour_of_day = (begins + offset) // HOUR_S % DAY_H
        by_balance = np.nanmedian(share, axis=1) >= MEASURED_SHARE if zones else np.zeros(0, bool)
        found: list[ZoneFinding] = []
        for rules, rule, chosen in ((BALANCE_RULES, "balance", by_balance), (INFLOW_RULES, "night", ~by_balance)):
            ids = [zone_id for zone_id, one in zip(zones, chosen, strict=True) if one]
            values = inflow[chosen] - (customers[chosen] if rule == "balance" else 0.0)
            variance = sigma[chosen] ** 2 if rule == "balance" else None
            found += _of(ids, values, hour_of_day, rules, variance, inflow[chosen], first_s, rule)
        return found

    def _offset_s(self, at_s: int) -> int:
        offset = datetime.fromtimestamp(at_s, self._zone).utcoffset() or timedelta()
        return int(offset.total_seconds())


def _of(
    zone_ids: list[int], values: Floats, hour_of_day: Any, rules: Rules, variance: Floats | None, inflow: Floats,
    first_s: int, rule: str,
) -> list[ZoneFinding]:  # fmt: skip
    if not zone_ids:
        return []
    shifts = find_shifts(values, hour_of_day, rules, variance, reference=inflow)
    findings = (
        zone_alerts.newest(zone_id, (shift for shift in shifts if shift.district == at), first_s, rule)
        for at, zone_id in enumerate(zone_ids)
    )
    return [finding for finding in findings if finding is not None]


async def _tell(connection: Any, of: ZoneFinding, until_s: int) -> None:
    """Brings the zone's alert in line; one that people closed comes back only for a burst that began after it."""
    values = (
        of.zone_id, DISTRICT_LEAK, of.severity, of.started_at_s, of.raised_at_s,
        until_s if of.ended_at_s is None else of.ended_at_s, of.ended_at_s, of.rate_ml_h, json.dumps(of.evidence),
    )  # fmt: skip
    if not await connection.fetch(_UPDATE, *values):
        await connection.execute(_RAISE, *values)


def _sql(name: str) -> str:
    return resources.files("ingest.districts").joinpath(f"{name}.sql").read_text()
