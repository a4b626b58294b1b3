"""The districts of a town as the platform is told of them: the tree of zones on a map, the bulk meters and where they
count. Pure.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import chain
from typing import Any

from simulators.city.mains import INLETS, Mains
from simulators.meter import Meter
from simulators.town import Piping
from simulators.town_plan import DISTRICTS, DMAS_PER_DISTRICT, INLET_ZONES, zone_code, zone_name

MAINS_M_A_USER, PRESSURE_M = 12, 32.0
CITY, CITY_NAME = "HLD", "葫芦岛市"
MARGIN_DEG = 0.001


def piping(of: Mains, meters: Sequence[Meter]) -> Piping:
    """Files of the forms that operators import."""
    return Piping(of.meters, _geojson(of, meters), _flows(of))


def _flows(of: Mains) -> bytes:
    if not of.meters:
        return b""
    rows = [
        f"{INLET_ZONES[at]},{meter.label.serial},{direction}"
        for meter, (_, _, counts) in zip(of.meters, INLETS, strict=True)
        for direction, at in counts
    ]
    return "\n".join(["zone,meter,direction", *rows, ""]).encode()


def _geojson(of: Mains, meters: Sequence[Meter]) -> bytes:
    features = [_feature(CITY, CITY_NAME, "city", None, meters)]
    for _, code, *_ in DISTRICTS:
        zones = [zone_code(code, number) for number in range(1, DMAS_PER_DISTRICT + 1)]
        within = {zone: [meter for meter in meters if meter.label.zone == zone] for zone in zones}
        features.append(_feature(code, zone_name(code), "township", CITY, list(chain(*within.values()))))
        features += [_feature(zone, zone_name(zone), "dma", code, here) for zone, here in within.items()]
    users = {district.zone: len(district.users) for district in of.districts}
    for properties in (feature["properties"] for feature in features):
        if count := users.get(properties["code"]):
            properties |= {"mains_m": MAINS_M_A_USER * count, "connections": count, "pressure_m": PRESSURE_M}
    return json.dumps({"type": "FeatureCollection", "features": features}, ensure_ascii=False).encode()


def _feature(code: str, name: str, kind: str, parent: str | None, meters: Sequence[Meter]) -> dict[str, Any]:
    """Its boundary is a rectangle around its meters."""
    _, _, latitude, longitude, *_ = DISTRICTS[0]
    east_west = [meter.label.longitude for meter in meters] or [longitude]
    north_south = [meter.label.latitude for meter in meters] or [latitude]
    west, east = min(east_west) - MARGIN_DEG, max(east_west) + MARGIN_DEG
    south, north = min(north_south) - MARGIN_DEG, max(north_south) + MARGIN_DEG
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    properties = {"code": code, "name": name, "kind": kind} | ({"parent": parent} if parent else {})
    return {"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [ring]}, "properties": properties}
