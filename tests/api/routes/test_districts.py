"""Districts and pressure over REST: the tree, balances with their uncertainty, the IWA balance, and who may ask."""

import asyncpg
import httpx
import pytest

from api.queries.districts import LEAST_SHARE_OF_DAYS
from api.queries.pressure import MAX_ROWS
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
