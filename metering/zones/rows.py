"""Import files of districts, read: bulk meters with their direction (CSV, XLSX), zones and meters on a map (GeoJSON).

Pure: bytes in, rows out. Every error of a file is told at once, with its line or its feature, and nothing is imported.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from metering.errors import ImportRowsError
from metering.import_file import FileRow, decode_file, file_rows

FLOW_COLUMNS = ("zone", "meter", "direction", "valid_from", "valid_to")
KINDS = ("city", "township", "dma", "building")
MAX_FEATURES = 1_000_000
MAX_POSITIONS = 100_000
"""Corners of one zone."""
MAX_CHARACTERS = 64
MAX_DEPTH = 4
"""A MultiPolygon is a list of polygons, of rings, of positions."""

Fault = tuple[int, str, str]


class FlowRow(NamedTuple):
    """A bulk meter counts into a zone or out of it."""

    line: int
    zone: str
    meter: str
    direction: str
    valid_from: datetime | None
    valid_to: datetime | None


class ZoneFeature(NamedTuple):
    """`line`: number of the feature, the first being 1. None: as it was."""

    line: int
    code: str
    name: str
    kind: str
    parent: str | None
    boundary: str
    mains_m: int | None
    connections: int | None
    pressure_m: float | None


class MeterFeature(NamedTuple):
    """Where a known meter stands."""

    line: int
    serial: str
    longitude: float
    latitude: float


class Features(NamedTuple):
    zones: list[ZoneFeature]
    meters: list[MeterFeature]


def parse_flows(data: bytes, zone: ZoneInfo) -> list[FlowRow]:
    """Columns zone, meter, direction and, if wanted, valid_from and valid_to (times without offset are the utility's).
    Raises ImportRowsError."""
    return flows_of(file_rows(data), zone)


def flows_of(rows: Iterator[FileRow], zone: ZoneInfo) -> list[FlowRow]:
    """As `parse_flows`, of rows that are text already."""
    header = [name.strip().lower() for name in next(rows, (1, [""]))[1]]
    if missing := [name for name in FLOW_COLUMNS[:3] if name not in header]:
        raise ImportRowsError([(1, name, "the column is missing") for name in missing])
    faults: list[Fault] = []
    found = [_flow(row.line, dict(zip(header, row.fields, strict=False)), zone, faults) for row in rows]
    if faults:
        raise ImportRowsError(faults)
    return found


def _flow(line: int, fields: Mapping[str, str], zone: ZoneInfo, faults: list[Fault]) -> FlowRow:
    code, meter = (fields.get(name, "").strip() for name in ("zone", "meter"))
    direction = fields.get("direction", "").strip().lower()
    for name, value in (("zone", code), ("meter", meter)):
        if not 0 < len(value) <= MAX_CHARACTERS:
            faults.append((line, name, f"1 to {MAX_CHARACTERS} characters are needed"))
    if direction not in ("in", "out"):
        faults.append((line, "direction", "it is in or out"))
    since, until = (_instant(line, name, fields.get(name, ""), zone, faults) for name in FLOW_COLUMNS[3:])
    if since and until and until <= since:
        faults.append((line, "valid_to", "it must lie after valid_from"))
    return FlowRow(line, code, meter, direction, since, until)


def _instant(line: int, name: str, text: str, zone: ZoneInfo, faults: list[Fault]) -> datetime | None:
    if not text.strip():
        return None
    try:
        found = datetime.fromisoformat(text.strip())
    except ValueError:
        faults.append((line, name, "write a time as 2026-03-01 or 2026-03-01T08:00:00+08:00"))
        return None
    return found if found.tzinfo else found.replace(tzinfo=zone)


def parse_geojson(data: bytes) -> Features:
    """A FeatureCollection (RFC 7946): Polygon and MultiPolygon features are zones, with the properties code, name,
    kind, parent, mains_m, connections and pressure_m; Point features are meters, with serial. Raises ImportRowsError.
    """
    try:
        document = json.loads(decode_file(data))
    except (ValueError, RecursionError) as error:
        raise ImportRowsError([(1, "", f"the file is no JSON: {error}")]) from error
    features = document.get("features") if isinstance(document, dict) else None
    if not isinstance(features, list) or document.get("type") != "FeatureCollection":
        raise ImportRowsError([(1, "", "the file is no GeoJSON FeatureCollection")])
    if len(features) > MAX_FEATURES:
        raise ImportRowsError([(1, "", f"more than {MAX_FEATURES} features")])
    found, faults = Features([], []), list[Fault]()
    for line, feature in enumerate(features, 1):
        try:
            _take(line, feature, found)
        except (TypeError, ValueError, KeyError, AttributeError) as error:
            faults.append((line, "feature", str(error) or type(error).__name__))
    if faults:
        raise ImportRowsError(faults)
    return found


def _take(line: int, feature: Any, found: Features) -> None:
    geometry, properties = feature["geometry"], feature.get("properties") or {}
    kind = geometry["type"]
    if kind == "Point":
        longitude, latitude = _position(geometry["coordinates"])
        found.meters.append(MeterFeature(line, _text(properties, "serial"), longitude, latitude))
    elif kind in ("Polygon", "MultiPolygon"):
        found.zones.append(_zone(line, geometry, properties))
    else:
        raise ValueError(f"a geometry is Point, Polygon or MultiPolygon, not {kind!s:.32}")


def _zone(line: int, geometry: Mapping[str, Any], properties: Mapping[str, Any]) -> ZoneFeature:
    positions = list(_positions(geometry["coordinates"], 0))
    if not 4 <= len(positions) <= MAX_POSITIONS:
        raise ValueError(f"a polygon has 4 to {MAX_POSITIONS} positions, not {len(positions)}")
    code = _text(properties, "code")
    kind = str(properties.get("kind") or "dma")
    if kind not in KINDS:
        raise ValueError(f"kind is one of {', '.join(KINDS)}")
    parent = _text(properties, "parent") if properties.get("parent") else None
    if parent == code:
        raise ValueError("a zone cannot be its own parent")
    name = str(properties.get("name") or code)[:MAX_CHARACTERS]
    boundary = json.dumps({"type": geometry["type"], "coordinates": geometry["coordinates"]})
    mains, connections, pressure = (_positive(properties, key) for key in ("mains_m", "connections", "pressure_m"))
    return ZoneFeature(
        line, code, name, kind, parent, boundary, None if mains is None else round(mains),
        None if connections is None else round(connections), pressure,
    )  # fmt: skip


def _positions(coordinates: Any, depth: int) -> Iterator[tuple[float, float]]:
    if not isinstance(coordinates, list) or depth > MAX_DEPTH:
        raise ValueError("coordinates are lists of positions")
    if coordinates and isinstance(coordinates[0], int | float):
        yield _position(coordinates)
    else:
        for part in coordinates:
            yield from _positions(part, depth + 1)


def _position(value: Any) -> tuple[float, float]:
    longitude, latitude = float(value[0]), float(value[1])
    if not (-180 <= longitude <= 180 and -90 <= latitude <= 90):
        raise ValueError("a position is longitude, latitude in degrees (WGS 84)")
    return longitude, latitude


def _text(properties: Mapping[str, Any], name: str) -> str:
    value = str(properties.get(name) or "").strip()
    if not 0 < len(value) <= MAX_CHARACTERS:
        raise ValueError(f"the property {name} needs 1 to {MAX_CHARACTERS} characters")
    return value


def _positive(properties: Mapping[str, Any], name: str) -> float | None:
    if properties.get(name) is None:
        return None
    value = float(properties[name])
    if not 0 < value <= 10**9 or math.isnan(value):
        raise ValueError(f"{name} is a positive number")
    return value
