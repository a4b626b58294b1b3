"""Meters whose reports are played into the database hour by hour, as far as silence is concerned."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from ingest.leaks.silence import SilenceStage
from metering.settings import OutageSettings, SettlementSettings

DAY_S = 86_400
T0 = datetime.fromtimestamp((datetime.now(UTC) - timedelta(days=40)).timestamp() // DAY_S * DAY_S, UTC)
"""A midnight, long enough ago that the database's clock is later than all that is played."""

_ADD = """
WITH added AS (
    SELECT n, nextval(pg_get_serial_sequence('meters', 'meter_id')) AS meter_id,
           nextval(pg_get_serial_sequence('devices', 'device_id')) AS device_id,
           nextval(pg_get_serial_sequence('service_points', 'service_point_id')) AS point_id
    FROM generate_series(1, $1::int) AS n
), m AS (
    INSERT INTO meters (meter_id, serial) OVERRIDING SYSTEM VALUE SELECT meter_id, 'M' || meter_id FROM added
), d AS (
    INSERT INTO devices (device_id, device, registered_at) OVERRIDING SYSTEM VALUE
    SELECT device_id, 'D' || device_id, '2020-01-01Z' FROM added
), s AS (
    INSERT INTO service_points (service_point_id, zone_id) OVERRIDING SYSTEM VALUE SELECT point_id, $2 FROM added
), i AS (
    INSERT INTO installations (service_point_id, meter_id, device_id, valid_from)
    SELECT point_id, meter_id, device_id, '2020-01-01Z' FROM added
)
INSERT INTO played SELECT meter_id, device_id, $3, $4, $5, $6, $7 + $8 * (n - 1)::float8 / $1 FROM added
RETURNING meter_id"""

_PLAY = """
WITH sent AS (
    SELECT p.*, gen_random_uuid() AS report_id, at,
           CASE door WHEN 'ctwing' THEN 'pusher' ELSE door END AS authentication
    FROM played p
    CROSS JOIN LATERAL generate_series(
        to_timestamp(ceil((extract(epoch FROM $1::timestamptz) - phase_s) / period_s) * period_s + phase_s),
        $2::timestamptz - INTERVAL '1 microsecond', make_interval(secs => period_s)) AS at
    WHERE p.meter_id <> ALL ($3::bigint[])
), reported AS (
    INSERT INTO reports (received_at, report_id, device, device_id, meter_id, door, authentication, source,
                         content_format, payload_bytes, outcome, identity, cell_id)
    SELECT at, report_id, 'D' || device_id, device_id, meter_id, door, authentication, source, 1, 1, 'stored', 1,
           cell_id
    FROM sent
)
INSERT INTO device_latest (device_id, meter_id, last_report_at, last_report_id, cell_id)
SELECT DISTINCT ON (device_id) device_id, meter_id, at, report_id, cell_id FROM sent ORDER BY device_id, at DESC
ON CONFLICT (device_id) DO UPDATE
SET last_report_at = EXCLUDED.last_report_at, last_report_id = EXCLUDED.last_report_id"""


class Played:
    """Time runs from T0 on by `play`, in hours; silence is looked for after each step."""

    def __init__(self, pool: Any, outage: OutageSettings) -> None:
        self._pool, self._hour = pool, 0.0
        self._stage = SilenceStage(pool, SettlementSettings(), outage)

    async def add(
        self, count: int, cell: int | None = None, *, zone: int | None = None, door: str = "coap",
        source: str = "10.0.0.1:5683", period_h: float = 24, first_h: float = 0, spread_h: float | None = None,
    ) -> set[int]:  # fmt: skip
        """Meters that report once a period, at instants spread over it from `first_h` on."""
        await self._pool.execute(
            "CREATE TABLE IF NOT EXISTS played (meter_id bigint, device_id bigint, cell_id bigint, door text,"
            " source text, period_s float8, phase_s float8)"
        )
        spread = period_h if spread_h is None else spread_h
        rows = await self._pool.fetch(
            _ADD, count, zone, cell, door, source, period_h * 3_600.0, first_h * 3_600.0, spread * 3_600.0
        )
        return {row["meter_id"] for row in rows}

    async def play(
        self,
        hours: float,
        *,
        dead: set[int] = frozenset(),
        step_h: float = 1,
        look: bool = True,  # type: ignore[assignment]
    ) -> None:
        """The dead send nothing meanwhile. Without `look` the platform's settlement does not run."""
        end = self._hour + hours
        while self._hour < end:
            until = min(end, self._hour + step_h)
            await self._pool.execute(_PLAY, self._at(self._hour), self._at(until), list(dead))
            self._hour = until
            if look:
                await self.look()

    async def look(self) -> None:
        while await self._stage.check(int(self._at(self._hour).timestamp() * 1e6)) >= 5_000:
            pass

    def _at(self, hour: float) -> datetime:
        return T0 + timedelta(hours=hour)

    async def resolve(self, kind: str) -> None:
        await self._pool.execute(
            "UPDATE alerts SET state = 'resolved', closed_at = $2 WHERE kind = $1 AND state = 'open'",
            kind, self._at(self._hour),
        )  # fmt: skip

    async def active(self) -> list[Any]:
        """Alerts that somebody would see now, with the meters of outages counted."""
        return await self._pool.fetch(
            "SELECT a.*, (SELECT count(*) FROM alert_meters m WHERE m.alert_id = a.alert_id) AS members FROM alerts a"
            " WHERE state IN ('open', 'acknowledged') AND ended_at IS NULL ORDER BY kind, alert_id"
        )

    async def all(self, kind: str) -> list[Any]:
        return await self._pool.fetch("SELECT * FROM alerts WHERE kind = $1 ORDER BY alert_id", kind)

    def since(self, at: datetime) -> float:
        """Hours from T0."""
        return (at - T0).total_seconds() / 3_600
