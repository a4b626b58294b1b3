"""Districts, live: each hour's balance per district, each day's, and alerts of bursts on mains.

An hour is computed again as its readings come in (`zone_hours.LAGS_H`), never more than MAX_HOURS of them a round; of
a district that is new its past hours are computed, too, as far as the detector looks, apart from the others
(`hour_sums`), and hours to which readings come later than that once more (`late_hours`). With each new hour, and when
no hour is left, the detector looks at the past days as they are known now: what it says does not depend on when it ran.
What takes long, the sums of an hour and the detector, holds nothing that others wait for.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import asyncpg
import structlog
from prometheus_client import Counter, Gauge

from metering.consumption import HOUR_S
from metering.district_settings import DistrictSettings

from . import hour_sums, late_hours, watching, zone_hours
from .balance import Errors
from .late_hours import LateHour
from .level_shifts import DAY_H
from .zone_alerts import DISTRICT_LEAK, ZoneFinding
from .zone_hours import ZoneHour

EMPTY_FOR_S = 86_400
PAST_EVERY_S = 600
"""So often past hours are looked for that a district has no balance of."""
DISTRICTS_AT_ONCE = 100
"""That the detector holds in memory: 120 days of so many are 288,000 rows."""

ROUND = Gauge("nbwater_settlement_districts_round_seconds", "Duration of the last round that computed an hour")
BEHIND = Gauge("nbwater_settlement_districts_hours_behind", "Hours that the last round found due, its own included")
LATE = Gauge("nbwater_settlement_districts_late_hours", "Hours that wait to be computed again: readings came late")
FAILURES = Counter("nbwater_settlement_districts_failures_total", "Rounds of the districts that were given up")

_COMPUTED = """
SELECT extract(epoch FROM hour)::bigint, extract(epoch FROM max(computed_at))::bigint
FROM zone_hours WHERE hour >= to_timestamp($1::bigint) GROUP BY hour"""

_BEGUN = """
WITH begun AS (
    SELECT f.zone_id, f.valid_to, GREATEST(f.valid_from, to_timestamp($1::bigint),
               (SELECT min(r.ts) FROM readings r WHERE r.meter_id = f.meter_id)) AS begins
    FROM zone_flows f
    WHERE f.direction = 'in' AND (f.valid_to IS NULL OR f.valid_to > to_timestamp($1::bigint))
      AND EXISTS (SELECT FROM readings r WHERE r.meter_id = f.meter_id AND r.ts <= to_timestamp($2::bigint))
)"""

_UNKNOWN = f"""{_BEGUN}
SELECT extract(epoch FROM hour)::bigint
FROM generate_series(to_timestamp($1::bigint), to_timestamp($2::bigint), '1 hour') AS of (hour)
WHERE NOT EXISTS (SELECT FROM zone_hours h WHERE h.hour = of.hour)
  AND EXISTS (SELECT FROM begun WHERE begins <= of.hour AND (valid_to IS NULL OR valid_to > of.hour))"""  # noqa: S608

_YOUNG = f"""{_BEGUN}
SELECT zone_id, begins_s, oldest_s FROM (
    SELECT zone_id, ceil(extract(epoch FROM min(begins)) / 3600)::bigint * 3600 AS begins_s,
           (SELECT extract(epoch FROM min(h.hour))::bigint FROM zone_hours h
            WHERE h.zone_id = begun.zone_id AND h.hour >= to_timestamp($1::bigint)) AS oldest_s
    FROM begun GROUP BY zone_id) zones
WHERE begins_s < COALESCE(oldest_s, $2) ORDER BY zone_id LIMIT 5000"""  # noqa: S608

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
       sqrt(($4::float8 * COALESCE(sum(inlet_ml), 0)) ^ 2 / 3
            + sum(GREATEST(sigma_ml::float8 ^ 2 - ($4::float8 * COALESCE(inlet_ml, 0)) ^ 2 / 3, 0)))::bigint,
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
FROM zone_hours
WHERE zone_id = ANY($3::bigint[]) AND hour >= to_timestamp($1::bigint) AND hour < to_timestamp($2::bigint)"""

_WATCHED = "SELECT DISTINCT zone_id FROM zone_flows WHERE direction = 'in' ORDER BY zone_id LIMIT 5000"

AGAIN_H = 24
"""From when a burst counts as not mended that somebody has closed as resolved. Behind meters, too, evidence must
lie after the closing (`ingest.leaks.alerts`)."""

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
           GREATEST(COALESCE(alert_suppressed_until(NULL, zone_id, kind, raised_at), raised_at), (
               SELECT max(closed_at) + INTERVAL '{AGAIN_H} hours' FROM alerts a
               WHERE a.zone_id = f.zone_id AND a.kind = f.kind AND a.raised_at >= f.started_at)), seen_at, ended_at,
           rate_ml_h, loss_ml, evidence
    FROM found f
    WHERE alert_suppressed_until(NULL, zone_id, kind, seen_at) IS NULL
      AND NOT EXISTS (SELECT FROM alerts a WHERE a.zone_id = f.zone_id AND a.kind = f.kind
                      AND a.raised_at >= f.started_at
                      AND NOT (a.state = 'resolved' AND f.ended_at IS NULL
                               AND f.seen_at >= a.closed_at + INTERVAL '{AGAIN_H} hours'))
    ON CONFLICT DO NOTHING
    RETURNING alert_id, raised_at
)
INSERT INTO alert_events (alert_id, at, to_state, actor) SELECT alert_id, raised_at, 'open', 'platform' FROM raised
"""  # noqa: S608 - joins two constants


class DistrictStage:
    """Computes what is due and raises alerts. Runs until cancelled."""

    def __init__(self, pool: asyncpg.Pool, zone: ZoneInfo, settings: DistrictSettings) -> None:
        self._pool, self._zone, self._settings = pool, zone, settings
        self._errors = Errors(settings.inlet_error, settings.customer_error, settings.estimate_scatter)
        self._empty: dict[int, int] = {}
        """When hours were computed of which no district has a row; forgotten with age, looked at again once a day."""
        self._reached_s: dict[int, int] = {}
        """Down to which hour the past of a new district was computed, so that hours without a row are not again."""
        self._late: dict[int, LateHour] = {}
        """Those that the round in hand may compute again."""
        self._apart: set[int] = set()
        """Hours of the round in hand that only new districts need: those of `_reached_s`."""
        self._past_due_s = self._watched_until_s = 0
        self._unwatched = False
        """Hours were computed that the detector has not looked at."""
        self._log = structlog.get_logger().bind(stage="districts")

    async def run(self) -> None:
        while True:
            hours = 0
            try:
                hours = await self.check(int(time.time()))
            except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
                FAILURES.inc()
                self._log.warning("the districts' round failed", error=str(error))
            if hours < zone_hours.MAX_HOURS:
                await asyncio.sleep(self._settings.every_s)

    async def check(self, now_s: int) -> int:
        """One round at the time `now_s`; returns how many hours it computed."""
        begun = time.monotonic()
        if not await self._pool.fetchval("SELECT EXISTS (SELECT FROM zone_flows)"):
            return 0
        hours = await self._due(now_s)
        if hours:
            await self._balance(hours, now_s)
            ROUND.set(time.monotonic() - begun)
        until_s = now_s // HOUR_S * HOUR_S - (zone_hours.LAGS_H[0] - 1) * HOUR_S
        self._unwatched |= bool(hours)
        caught_up = len(hours) < zone_hours.MAX_HOURS
        if (caught_up and self._unwatched) or self._watched_until_s < until_s:
            await self._detect(until_s)
            self._watched_until_s, self._unwatched = until_s, not caught_up
        return len(hours)

    async def _due(self, now_s: int) -> list[int]:
        recent_s = now_s - (zone_hours.LAGS_H[-1] + DAY_H) * HOUR_S
        newest_s = now_s // HOUR_S * HOUR_S - zone_hours.LAGS_H[0] * HOUR_S
        oldest_s = newest_s - self._settings.days * DAY_H * HOUR_S
        self._empty = {
            hour_s: at_s for hour_s, at_s in self._empty.items()
            if hour_s >= oldest_s and (hour_s >= recent_s or at_s > now_s - EMPTY_FOR_S)
        }  # fmt: skip
        computed = dict(map(tuple, await self._pool.fetch(_COMPUTED, recent_s)))
        unknown, past = set[int](), set[int]()
        self._late = {}
        if now_s >= self._past_due_s:
            unknown = {row[0] for row in await self._pool.fetch(_UNKNOWN, oldest_s, newest_s)} - self._empty.keys()
            past = await self._past(oldest_s, newest_s)
            self._late = {late.hour_s: late for late in await late_hours.due(self._pool, now_s, oldest_s)}
            LATE.set(await late_hours.waiting(self._pool))
        of_all = {*zone_hours.due(now_s, self._empty | computed), *unknown, *self._late}
        hours = zone_hours.newest_of(of_all | past)
        self._apart = set(hours) - of_all
        full = len(hours) == zone_hours.MAX_HOURS
        self._past_due_s = now_s if full else now_s + PAST_EVERY_S
        self._reached_s = {zone_id: min([reached_s, *hours]) for zone_id, reached_s in self._reached_s.items()}
        BEHIND.set(max(len(unknown | past), len(hours)))
        return hours

    async def _past(self, oldest_s: int, newest_s: int) -> set[int]:
        """Hours since the inlets of new districts report that these have no balance of, while others may have."""
        past: set[int] = set()
        young = await self._pool.fetch(_YOUNG, oldest_s, newest_s)
        self._reached_s = {zone_id: self._reached_s.get(zone_id, newest_s + HOUR_S) for zone_id, _, _ in young}
        for zone_id, begins_s, known_s in young:
            last_s = min(self._reached_s[zone_id], known_s or newest_s + HOUR_S) - HOUR_S
            past.update(range(last_s, begins_s - 1, -HOUR_S))
        return past

    async def _balance(self, hours: Sequence[int], now_s: int) -> None:
        """The sums are read one hour after the other, then written at once, hours and their days."""
        chosen = await hour_sums.few(self._pool, list(self._reached_s)) if self._apart else None
        balanced = {hour_s: await self._sums(hour_s, chosen if hour_s in self._apart else None) for hour_s in hours}
        first, last = (self._day(hour_s) for hour_s in (min(hours), max(hours)))
        async with self._pool.acquire() as connection, connection.transaction():
            for hour_s, rows in balanced.items():
                if rows:
                    await connection.execute(_WRITE_HOUR, *zone_hours.columns(rows), hour_s)
            await connection.execute(_WRITE_DAYS, self._zone.key, first, last, self._errors.inlet)
            if late := [self._late[hour_s] for hour_s in hours if hour_s in self._late]:
                await late_hours.done(connection, late)
        self._empty |= {hour_s: now_s for hour_s, rows in balanced.items() if not rows and hour_s not in self._apart}

    async def _sums(self, hour_s: int, chosen: hour_sums.Few | None) -> list[ZoneHour]:
        """Of each district, `chosen` or all, that had an inlet then and of which a reading tells."""
        usual = [self._day(hour_s) - timedelta(days=ago) for ago in self._settings.usual_days]
        rows = await hour_sums.of_hour(self._pool, hour_s, usual, chosen)
        balanced = (zone_hours.balanced(row, self._errors) for row in rows)
        return [of for of in balanced if of.measured or of.inlet_ml is not None]

    def _day(self, at_s: int) -> date:
        return datetime.fromtimestamp(at_s, self._zone).date()

    async def _detect(self, until_s: int) -> None:
        """Some districts after the other: read, compute beside the event loop, tell."""
        days_ago = self._day(until_s - self._settings.days * DAY_H * HOUR_S)
        first_s = int(datetime.combine(days_ago, datetime.min.time(), self._zone).timestamp())
        zone_ids = [row[0] for row in await self._pool.fetch(_WATCHED)]
        for begin in range(0, len(zone_ids), DISTRICTS_AT_ONCE):
            rows = await self._pool.fetch(_PAST, first_s, until_s, zone_ids[begin : begin + DISTRICTS_AT_ONCE])
            for finding in await asyncio.to_thread(self._findings, rows, first_s, until_s):
                await self._tell(finding, until_s)

    def _findings(self, rows: Sequence[Any], first_s: int, until_s: int) -> list[ZoneFinding]:
        return watching.findings(watching.past_of(rows, first_s, until_s, self._zone), self._settings)

    async def _tell(self, of: ZoneFinding, until_s: int) -> None:
        """Brings the zone's alert in line; one that people closed comes back for a burst that began after it,
        and one that was resolved also while its burst still lasts `AGAIN_H` later, as a leak behind a meter does."""
        values = (
            of.zone_id, DISTRICT_LEAK, of.severity, of.started_at_s, of.raised_at_s,
            until_s if of.ended_at_s is None else of.ended_at_s, of.ended_at_s, of.rate_ml_h, json.dumps(of.evidence),
        )  # fmt: skip
        async with self._pool.acquire() as connection, connection.transaction():
            if not await connection.fetch(_UPDATE, *values):
                await connection.execute(_RAISE, *values)
