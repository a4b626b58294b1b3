"""Districts and pressure over REST: the tree, balances with their uncertainty, the IWA balance, and who may ask."""

import json
from dataclasses import asdict
from datetime import datetime

import asyncpg
import httpx
import pytest

from api.queries.districts import LEAST_SHARE_OF_DAYS
from api.queries.pressure import MAX_ROWS
from api.queries.zone_imports import Imported
from tests.api.conftest import Seed

API = "/api/v1"
M3 = 1_000_000
DAYS = {"from": "2026-03-08", "to": "2026-03-09"}


@pytest.fixture
async def district(seeded: Seed, database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    await connection.execute(
        "UPDATE zones SET mains_m = 10000, connections = 500, pressure_m = 40 WHERE code = 'DMA-1';"
        "INSERT INTO zone_days (zone_id, day, inlet_ml, outlet_ml, customers_ml, estimated_ml, sigma_ml, "
        "measured_share, night_inflow_ml_h, night_use_ml_h, night_sigma_ml_h) "
        "SELECT zone_id, d, 1000000000, 0, 800000000, 8000000, 9000000, 0.9, 20000000, 5000000, 300000 "
        "FROM zones, generate_series('2026-03-08'::date, '2026-03-09', '1 day') d WHERE code = 'DMA-1';"
        "INSERT INTO zone_hours (zone_id, hour, inlet_ml, outlet_ml, customers_ml, estimated_ml, sigma_ml, meters, "
        "measured) SELECT zone_id, '2026-03-08T02:00Z', NULL, 0, 30000000, 0, 400000, 10, 8 FROM zones "
        "WHERE code = 'DMA-1';"
        "INSERT INTO alerts (kind, severity, zone_id, started_at, raised_at, last_seen_at, rate_ml_h, evidence) "
        "SELECT 'district_leak', 'warning', zone_id, now(), now(), now(), 900000, '{}' FROM zones "
        "WHERE code = 'DMA-1'"
    )
    await connection.close()


async def get(client: httpx.AsyncClient, path: str, **params: object) -> list | dict:
    answer = await client.get(f"{API}{path}", params=params)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_the_tree_has_the_newest_day(viewer: httpx.AsyncClient, district: None) -> None:
    city, dma = await get(viewer, "/districts")
    assert (city["code"], city["depth"], city["inflow_ml"]) == ("HLD", 0, None)
    assert (dma["code"], dma["depth"], dma["inflow_ml"], dma["alerts"]) == ("DMA-1", 1, 1_000 * M3, 1)


async def test_balances_by_day_and_hour(viewer: httpx.AsyncClient, district: None) -> None:
    days = await get(viewer, "/districts/DMA-1/balance", **DAYS)
    assert [(row["unaccounted_ml"], row["sigma_ml"]) for row in days] == [(200 * M3, 9 * M3)] * 2
    (hour,) = await get(viewer, "/districts/DMA-1/balance", by="hour", **DAYS)
    assert (hour["inflow_ml"], hour["unaccounted_ml"], hour["measured_share"]) == (None, None, 0.8)


async def test_the_iwa_balance(viewer: httpx.AsyncClient, district: None) -> None:
    found = await get(viewer, "/districts/DMA-1/water-balance", **DAYS)
    assert (found["days"], found["days_known"]) == (2, 2)
    assert found["balance"]["non_revenue_ml"] == 400 * M3
    assert found["non_revenue_money"] == pytest.approx(400 * 3.0)
    assert found["balance"]["ili"] == pytest.approx((200 - 5 - 16) / 23.2)
    sparse = await get(viewer, "/districts/DMA-1/water-balance", **{"from": "2026-03-01", "to": "2026-03-09"})
    assert sparse["balance"] is None
    assert sparse["days_known"] < LEAST_SHARE_OF_DAYS * sparse["days"]


async def test_the_alert_names_its_zone(viewer: httpx.AsyncClient, district: None) -> None:
    found = await get(viewer, "/alerts", kind="district_leak", zone="HLD")
    assert [(item["zone_code"], item["serial"]) for item in found["items"]] == [("DMA-1", None)]


async def test_what_is_not_there(viewer: httpx.AsyncClient, stranger: httpx.AsyncClient, district: None) -> None:
    assert (await viewer.get(f"{API}/districts/none/balance")).status_code == 404
    assert (await stranger.get(f"{API}/districts")).status_code == 401


async def test_pressure_is_told(viewer: httpx.AsyncClient, district: None, database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    meter_id = await connection.fetchval("SELECT meter_id FROM meters WHERE serial = '210000000001'")
    changed = await connection.fetch(
        "UPDATE reports SET pressure_kpa = 310 WHERE meter_id = $1 AND outcome = 'stored' RETURNING received_at",
        meter_id,
    )
    await connection.close()
    days = sorted(str(row["received_at"].date()) for row in changed)
    rows = await get(viewer, "/meters/210000000001/pressure", **{"from": "2026-01-01", "to": "2026-12-31"})
    assert days
    assert [row["pressure_kpa"] for row in rows] == [310] * len(changed)
    assert len(rows) <= MAX_ROWS


SQUARE = [[[120.8, 40.7], [120.9, 40.7], [120.9, 40.8], [120.8, 40.7]]]
FLOWS = "zone,meter,direction,valid_from\nDMA-1,210000000001,in,2026-03-01\nDMA-1,210000000002,out,\n"


def zones(*properties: dict[str, object]) -> bytes:
    shape = {"type": "Polygon", "coordinates": SQUARE}
    features = [{"type": "Feature", "geometry": shape, "properties": one} for one in properties]
    return json.dumps({"type": "FeatureCollection", "features": features}).encode()


async def test_engineers_send_bulk_meters(engineer: httpx.AsyncClient, seeded: Seed, database_url: str) -> None:
    answer = await engineer.post(f"{API}/districts/flows", content=FLOWS, headers={"Content-Type": "text/csv"})
    assert (answer.status_code, answer.json()) == (201, asdict(Imported(flows=2)))
    wrong = FLOWS.replace("210000000002", "nobody")
    answer = await engineer.post(f"{API}/districts/flows", content=wrong, headers={"Content-Type": "text/csv"})
    assert answer.status_code == 422
    assert answer.json()["errors"] == [{"field": "line 3: meter", "message": "no meter has the serial nobody"}]
    connection = await asyncpg.connect(database_url)
    rows = await connection.fetch("SELECT direction, valid_from FROM zone_flows ORDER BY meter_id")
    assert [row["direction"] for row in rows] == ["in", "out"]
    assert rows[0]["valid_from"].isoformat() == "2026-02-28T16:00:00+00:00"
    (logged,) = await connection.fetch("SELECT actor, detail FROM audit_log WHERE action = 'districts.flows'")
    assert json.loads(logged["detail"]) == {"flows": 2}
    await connection.close()


async def test_inlets_and_outlets_of_now_are_told(engineer: httpx.AsyncClient, seeded: Seed, database_url: str) -> None:
    past = "zone,meter,direction,valid_from,valid_to\nDMA-1,210000000003,in,2026-01-01,2026-02-01\n"
    for rows in (FLOWS, past):
        assert (await engineer.post(f"{API}/districts/flows", content=rows)).status_code == 201
    connection = await asyncpg.connect(database_url)
    newest = await connection.fetchval(
        "SELECT last_ts FROM device_latest JOIN meters USING (meter_id) WHERE serial = '210000000001'"
    )
    await connection.close()
    inlet, outlet = await get(engineer, "/districts/DMA-1/flows")
    assert (inlet["serial"], inlet["direction"], outlet["serial"]) == ("210000000001", "in", "210000000002")
    assert datetime.fromisoformat(inlet["last_ts"]) == newest
    assert (inlet["valid_from"], outlet["valid_from"]) == ("2026-02-28T16:00:00Z", None)
    assert await get(engineer, "/districts/HLD/flows") == []
    assert (await engineer.get(f"{API}/districts/none/flows")).status_code == 404


async def test_engineers_send_a_map(engineer: httpx.AsyncClient, seeded: Seed, database_url: str) -> None:
    body = zones({"code": "DMA-2", "name": "龙港二区", "parent": "HLD", "mains_m": 900})
    answer = await engineer.post(f"{API}/districts/map", content=body)
    assert (answer.status_code, answer.json()) == (201, asdict(Imported(zones=1)))
    tree = await get(engineer, "/districts")
    assert [(row["code"], row["depth"]) for row in tree] == [("HLD", 0), ("DMA-1", 1), ("DMA-2", 1)]
    answer = await engineer.post(f"{API}/districts/map", content=zones({"code": "X"}, {"code": "Y", "parent": "none"}))
    assert answer.status_code == 422
    assert len(await get(engineer, "/districts")) == 3


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("flows", b"PK\x03\x04 a workbook", 422),
        ("flows", b"\xff\xfe\x00", 422),
        ("flows", b"zone,meter\nA,B\n", 422),
        ("flows", b"", 422),
        ("map", b"[" * 100_000, 422),
        ("map", b"{}", 422),
        ("map", b"x" * (1 << 20) + b"x", 413),
    ],
)
async def test_a_bad_file_is_refused(
    engineer: httpx.AsyncClient, seeded: Seed, path: str, body: bytes, status: int
) -> None:
    assert (await engineer.post(f"{API}/districts/{path}", content=body)).status_code == status


async def test_viewers_and_operators_send_nothing(viewer: httpx.AsyncClient, operator: httpx.AsyncClient) -> None:
    for client in (viewer, operator):
        for path in ("flows", "map"):
            assert (await client.post(f"{API}/districts/{path}", content=b"")).status_code == 403
