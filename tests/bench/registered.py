"""A registered city in plain SQL: zones, service points, meters, devices, installations, each device's newest report.

A million meters take about a minute and a half. Of `meters` meter n has device n, stands at service point n in zone
``1 + n % zones`` and in radio cell ``n % cells``; a cell's meters are spread over the city, so that what asks by cell
finds them in as many places as in life.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

ZONES = 300
CELLS = 300
PRODUCTS = 4
"""Products of pushers, by which half of the meters report."""

_ZONES = "INSERT INTO zones (code, name) SELECT 'Z' || n, 'zone ' || n FROM generate_series(1, $1::int) n"
_POINTS = """
INSERT INTO service_points (zone_id, address, customer)
SELECT 1 + n % $2::int, 'street ' || n % 997 || ' number ' || n, 'customer ' || n FROM generate_series(1, $1::int) n"""
_METERS = "INSERT INTO meters (serial) SELECT (210000000000 + n)::text FROM generate_series(1, $1::int) n"
_DEVICES = """
INSERT INTO devices (device, imei, registered_at)
SELECT (861234500000000 + n)::text, (861234500000000 + n)::text, '2020-01-01' FROM generate_series(1, $1::int) n"""
_INSTALL = """
INSERT INTO installations (service_point_id, meter_id, device_id, valid_from)
SELECT n, n, n, '2020-01-01' FROM generate_series(1, $1::int) n"""
_REPORTS = f"""
INSERT INTO reports (received_at, report_id, device, device_id, meter_id, door, authentication, source, content_format,
                     payload_bytes, decoder, outcome, identity, first_ts, last_ts, readings, readings_stored, cell_id,
                     extra)
SELECT at, gen_random_uuid(), 'd' || n, n, n, CASE n % 2 WHEN 0 THEN 'coap' ELSE 'ctwing' END,
       CASE n % 2 WHEN 0 THEN 'oscore' ELSE 'pusher' END,
       CASE n % 2 WHEN 0 THEN '10.0.0.1' ELSE 'product-' || n / 2 % {PRODUCTS} || ' 10.0.0.2' END, 60, 96,
       'native_cbor', 'stored', $3::bigint * 1000003 + n, at - INTERVAL '1 day', at, 24, 24, n % $4::int, $5::jsonb
FROM generate_series(1, $1::int) n,
     LATERAL (SELECT $2::timestamptz + make_interval(secs => n::bigint * 7919 % 86400) AS at) x"""
_LATEST = """
INSERT INTO device_latest (device_id, meter_id, last_report_at, last_report_id, last_ts, last_index_ml, battery_mv,
                           rsrp_ddbm, cell_id)
SELECT device_id, meter_id, received_at, report_id, last_ts, 1000 * meter_id, 3600 - meter_id % 300,
       -900 - meter_id % 400, cell_id
FROM reports WHERE received_at >= $1 AND received_at < $1::timestamptz + INTERVAL '1 day'"""


async def register(connection: Any, meters: int, zones: int = ZONES) -> None:
    """Everything that does not come from reports."""
    await connection.execute(_ZONES, zones)
    await connection.execute(_POINTS, meters, zones)
    for statement in (_METERS, _DEVICES, _INSTALL):
        await connection.execute(statement, meters)
    await connection.execute("TRUNCATE outbox")
    for table in ("zones", "service_points", "meters", "devices", "installations"):
        await connection.execute(f"VACUUM ANALYZE {table}")


async def report_a_day(connection: Any, meters: int, begin: datetime, extra: str | None = None) -> None:
    """One report of each meter in the 24 hours from `begin` on, at the same time of each day."""
    number = int(begin.timestamp()) // 86_400
    await connection.execute(_REPORTS, meters, begin, number, CELLS, extra)


async def make_latest(connection: Any, begin: datetime) -> None:
    """The reports of that day are the newest of each device."""
    await connection.execute(_LATEST, begin)
    await connection.execute("VACUUM ANALYZE reports")
    await connection.execute("VACUUM ANALYZE device_latest")
