"""Districts from files: bulk meters, zones and places of meters; all of a file or nothing, each fault with its line."""

import json
from zoneinfo import ZoneInfo

import asyncpg
import pytest

from metering.errors import ImportRowsError
from metering.zones.rows import parse_flows, parse_geojson
from metering.zones.take import import_features, import_flows

ZONE = ZoneInfo("Asia/Shanghai")
SQUARE = [[[120.8, 40.7], [120.9, 40.7], [120.9, 40.8], [120.8, 40.7]]]


def collection(*features):
    return json.dumps(
        {
            "type": "FeatureCollection",
            "features": [
                {"type": "Feature", "geometry": {"type": kind, "coordinates": coordinates}, "properties": properties}
                for kind, coordinates, properties in features
            ],
        }
    ).encode()


@pytest.fixture
async def connection(any_database_url):
    connection = await asyncpg.connect(any_database_url)
    await connection.execute(
        "INSERT INTO zones (code, name, kind) VALUES ('C', 'C', 'city');"
        "INSERT INTO meters (serial) VALUES ('1'), ('2'); INSERT INTO devices (device) VALUES ('d');"
        "INSERT INTO service_points DEFAULT VALUES;"
        "INSERT INTO installations (service_point_id, meter_id, device_id, valid_from) VALUES (1, 1, 1, '2020-01-01')"
    )
    yield connection
    await connection.close()


async def test_flows_are_taken_and_replaced(connection):
    text = (
        "zone,meter,direction,valid_from,valid_to\nC,1,in,2026-01-01,\nC,2,out,2026-01-01T08:00:00+08:00,2026-02-01\n"
    )
    assert await import_flows(connection, parse_flows(text.encode(), ZONE)) == 2
    assert await import_flows(connection, parse_flows(text.replace("2026-02-01", "2026-03-01").encode(), ZONE)) == 2
    rows = await connection.fetch("SELECT direction, valid_from, valid_to FROM zone_flows ORDER BY meter_id")
    assert [row["direction"] for row in rows] == ["in", "out"]
    assert rows[1]["valid_to"].astimezone(ZONE).month == 3
    assert await import_flows(connection, []) == 0


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        ("zone,meter\nC,1\n", [(1, "direction")]),
        ("zone,meter,direction\n,1,in\nC,1,up\n", [(2, "zone"), (3, "direction")]),
        ("zone,meter,direction,valid_from\nC,1,in,soon\n", [(2, "valid_from")]),
        ("zone,meter,direction,valid_from,valid_to\nC,1,in,2026-02-01,2026-01-01\n", [(2, "valid_to")]),
    ],
)
def test_faulty_flows_say_where(text, faults):
    with pytest.raises(ImportRowsError) as error:
        parse_flows(text.encode(), ZONE)
    assert [fault[:2] for fault in error.value.rows] == faults


async def test_flows_of_unknown_zones_and_overlaps_change_nothing(connection):
    good = "zone,meter,direction\nC,1,in\n"
    for text, field in ((good + "X,1,in\n", "zone"), (good + "C,9,in\n", "meter")):
        with pytest.raises(ImportRowsError) as error:
            await import_flows(connection, parse_flows(text.encode(), ZONE))
        assert [fault[:2] for fault in error.value.rows] == [(3, field)]
    twice = "zone,meter,direction,valid_from,valid_to\nC,1,in,2026-01-01,2026-03-01\nC,1,in,2026-02-01,\n"
    with pytest.raises(ImportRowsError, match="nothing was imported"):
        await import_flows(connection, parse_flows(twice.encode(), ZONE))
    assert await connection.fetchval("SELECT count(*) FROM zone_flows") == 0


async def test_a_map_gives_zones_their_tree_and_meters_their_place(connection):
    data = collection(
        ("Polygon", SQUARE, {"code": "D", "parent": "C", "mains_m": 1200, "connections": 80, "pressure_m": 32}),
        ("MultiPolygon", [SQUARE], {"code": "B", "name": "楼", "kind": "building", "parent": "D"}),
        ("Point", [120.85, 40.75], {"serial": "1"}),
    )
    assert await import_features(connection, parse_geojson(data)) == (2, 1)
    row = await connection.fetchrow(
        "SELECT z.mains_m, p.code AS parent, c.name AS child FROM zones z JOIN zones p ON p.zone_id = z.parent_id "
        "JOIN zones c ON c.parent_id = z.zone_id WHERE z.code = 'D'"
    )
    assert tuple(row) == (1200, "C", "楼")
    assert await connection.fetchval("SELECT longitude FROM service_points") == pytest.approx(120.85)


async def test_maps_that_contradict_change_nothing(connection):
    for features, field in (
        ([("Polygon", SQUARE, {"code": "D", "parent": "X"})], "parent"),
        ([("Polygon", SQUARE, {"code": "D"}), ("Polygon", SQUARE, {"code": "D"})], "code"),
        ([("Polygon", SQUARE, {"code": "D", "parent": "E"}), ("Polygon", SQUARE, {"code": "E", "parent": "D"})],
         "parent"),
        ([("Polygon", SQUARE, {"code": "D"}), ("Point", [1, 2], {"serial": "2"})], "serial"),
    ):  # fmt: skip
        with pytest.raises(ImportRowsError) as error:
            await import_features(connection, parse_geojson(collection(*features)))
        assert error.value.rows[0][1] == field
    assert await connection.fetchval("SELECT count(*) FROM zones") == 1


@pytest.mark.parametrize(
    "data",
    [
        b"{", b"[]", b'{"type": "FeatureCollection"}', b'{"type": "FeatureCollection", "features": [7, {}, null]}',
        collection(("Point", [200, 0], {"serial": "1"})), collection(("Point", [1, 2], {})),
        collection(("LineString", [[1, 2], [3, 4]], {})), collection(("Polygon", [[[1, 2]]], {"code": "D"})),
        collection(("Polygon", SQUARE, {"code": "D", "kind": "planet"})),
        collection(("Polygon", SQUARE, {"code": "D", "mains_m": -1})),
        collection(("Polygon", SQUARE, {"code": "D", "parent": "D"})),
        collection(("Polygon", [[[[[[[1, 2]]]]]]], {"code": "D"})),
    ],
)  # fmt: skip
def test_what_is_no_map_is_refused(data):
    with pytest.raises(ImportRowsError):
        parse_geojson(data)
