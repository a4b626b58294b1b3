"""Takes districts into the registry: bulk meters with their direction, zones and meters of a map; all or nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import asyncpg

from metering.errors import ImportRowsError
from metering.import_file import IMPORT_LOCK
from metering.zones.rows import Features, FlowRow

_UNKNOWN_FLOWS = """
SELECT u.line, CASE WHEN z.zone_id IS NULL THEN 'zone' ELSE 'meter' END AS field,
       CASE WHEN z.zone_id IS NULL THEN 'there is no zone ' || u.zone ELSE 'no meter has the serial ' || u.meter END
FROM unnest($1::int[], $2::text[], $3::text[]) AS u (line, zone, meter)
LEFT JOIN zones z ON z.code = u.zone LEFT JOIN meters m ON m.serial = u.meter
WHERE z.zone_id IS NULL OR m.meter_id IS NULL ORDER BY u.line"""

_FLOWS = """
INSERT INTO zone_flows AS f (zone_id, meter_id, direction, valid_from, valid_to)
SELECT z.zone_id, m.meter_id, u.direction, COALESCE(u.valid_from, '-infinity'), u.valid_to
FROM unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[], $5::timestamptz[])
    AS u (zone, meter, direction, valid_from, valid_to)
JOIN zones z ON z.code = u.zone JOIN meters m ON m.serial = u.meter
ON CONFLICT (zone_id, meter_id, valid_from) DO UPDATE
SET direction = EXCLUDED.direction, valid_to = EXCLUDED.valid_to"""

_OVERLAPS = """
SELECT z.code, m.serial FROM zone_flows a
JOIN zone_flows b ON b.zone_id = a.zone_id AND b.meter_id = a.meter_id AND b.zone_flow_id > a.zone_flow_id
    AND tstzrange(a.valid_from, a.valid_to) && tstzrange(b.valid_from, b.valid_to)
JOIN zones z ON z.zone_id = a.zone_id JOIN meters m ON m.meter_id = a.meter_id LIMIT 20"""

_ZONES = """
INSERT INTO zones AS z (code, name, kind, boundary, mains_m, connections, pressure_m)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::jsonb[], $5::int[], $6::int[], $7::float8[])
ON CONFLICT (code) DO UPDATE
SET name = EXCLUDED.name, kind = EXCLUDED.kind, boundary = EXCLUDED.boundary,
    mains_m = COALESCE(EXCLUDED.mains_m, z.mains_m), connections = COALESCE(EXCLUDED.connections, z.connections),
    pressure_m = COALESCE(EXCLUDED.pressure_m, z.pressure_m)"""

_PARENTS = """
UPDATE zones z SET parent_id = p.zone_id
FROM unnest($1::text[], $2::text[]) AS u (code, parent) JOIN zones p ON p.code = u.parent
WHERE z.code = u.code"""

_UNKNOWN_PARENTS = """
SELECT u.line, 'parent', 'there is no zone ' || u.parent
FROM unnest($1::int[], $2::text[]) AS u (line, parent) LEFT JOIN zones p ON p.code = u.parent
WHERE p.zone_id IS NULL ORDER BY u.line"""

_CIRCLES = """
WITH RECURSIVE up AS (
    SELECT code AS of, parent_id, 1 AS steps FROM zones WHERE code = ANY($1::text[])
    UNION ALL
    SELECT up.of, z.parent_id, steps + 1 FROM up JOIN zones z ON z.zone_id = up.parent_id WHERE steps < 17
)
SELECT DISTINCT of FROM up WHERE steps >= 17"""

_PLACES = """
WITH placed AS (
    UPDATE service_points sp SET longitude = u.longitude, latitude = u.latitude
    FROM unnest($1::text[], $2::float8[], $3::float8[]) AS u (serial, longitude, latitude)
    JOIN meters m ON m.serial = u.serial JOIN installations i ON i.meter_id = m.meter_id AND i.valid_to IS NULL
    WHERE sp.service_point_id = i.service_point_id RETURNING u.serial
)
SELECT u.line, 'serial', 'no installed meter has the serial ' || u.serial
FROM unnest($4::int[], $1::text[]) AS u (line, serial)
WHERE u.serial NOT IN (SELECT serial FROM placed) ORDER BY u.line"""


async def import_flows(connection: asyncpg.Connection, rows: Sequence[FlowRow]) -> int:
    """How many rows were taken. A row with the same zone, meter and beginning replaces what was there. Raises
    ImportRowsError; nothing is then done."""
    if not rows:
        return 0
    lines, zones, meters, directions, since, until = (list(column) for column in zip(*rows, strict=True))
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock($1)", IMPORT_LOCK)
        _refuse(await connection.fetch(_UNKNOWN_FLOWS, lines, zones, meters))
        try:
            await connection.execute(_FLOWS, zones, meters, directions, since, until)
        except (asyncpg.UniqueViolationError, asyncpg.CardinalityViolationError) as error:
            raise ImportRowsError([(0, "valid_from", "a meter counts twice for a zone at one time")]) from error
        overlaps = await connection.fetch(_OVERLAPS)
        _refuse(
            [(0, "valid_from", f"meter {serial} counts twice for zone {code} at one time") for code, serial in overlaps]
        )
    return len(rows)


async def import_features(connection: asyncpg.Connection, features: Features) -> tuple[int, int]:
    """How many zones and meters were taken. Raises ImportRowsError; nothing is then done."""
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock($1)", IMPORT_LOCK)
        if features.zones:
            await _zones(connection, features)
        if features.meters:
            lines, serials, longitudes, latitudes = (list(column) for column in zip(*features.meters, strict=True))
            _refuse(await connection.fetch(_PLACES, serials, longitudes, latitudes, lines))
    return len(features.zones), len(features.meters)


async def _zones(connection: asyncpg.Connection, features: Features) -> None:
    lines, codes, names, kinds, parents, *rest = (list(column) for column in zip(*features.zones, strict=True))
    first = {code: line for line, code in reversed(list(zip(lines, codes, strict=True)))}
    _refuse(
        [(line, "code", f"zone {code} stands twice") for line, code in zip(lines, codes, strict=True)
         if first[code] != line]
    )  # fmt: skip
    await connection.execute(_ZONES, codes, names, kinds, *rest)
    below = [(line, code, parent) for line, code, parent in zip(lines, codes, parents, strict=True) if parent]
    _refuse(await connection.fetch(_UNKNOWN_PARENTS, [row[0] for row in below], [row[2] for row in below]))
    await connection.execute(_PARENTS, [row[1] for row in below], [row[2] for row in below])
    circles = {row[0] for row in await connection.fetch(_CIRCLES, codes)}
    _refuse([(line, "parent", f"zone {code} lies below itself") for line, code, _ in below if code in circles])


def _refuse(faults: Sequence[Any]) -> None:
    if faults:
        raise ImportRowsError([tuple(fault) for fault in faults])
