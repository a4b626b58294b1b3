"""Expected against received, by the utility's own definition."""

from __future__ import annotations

from datetime import date
from zoneinfo import ZoneInfo

import asyncpg
import httpx
import pytest

from api.database import ReadPool
from api.queries.completeness import completeness_of_zones
from api.queries.outages import meters_of_alert
from metering.consumption_settings import CompletenessSettings
from tests.api.conftest import METERS, Seed

API = "/api/v1/completeness"
DAY = {"from": "2026-03-08", "to": "2026-03-08"}


@pytest.fixture(autouse=True)
def _water(seeded: Seed) -> None:
    """Every test here runs over the seeded database."""


async def test_zones_add_up(viewer: httpx.AsyncClient) -> None:
    rows = (await viewer.get(API, params=DAY)).json()
    everything, dma, city = rows
    expected = METERS - 2  # one is disabled, one was removed
    assert (everything["zone"], everything["meters"], everything["read"]) == ("", expected, 1)
    assert (everything["expected_readings"], everything["received_readings"]) == (24 * expected, 24)
    assert everything["rate"] == pytest.approx(1 / expected)
    assert (dma["zone"], dma["read"]) == ("DMA-1", 1)
    assert (city["zone"], city["meters"]) == ("HLD", expected)  # those of the zone below it included
    as_file = (await viewer.get(API, params={**DAY, "format": "csv"})).text  # for Excel: zones have Chinese names
    assert as_file.startswith("\ufeffday,zone,name,meters,read,rate")


async def test_meters_of_a_day(viewer: httpx.AsyncClient) -> None:
    unread = (
        await viewer.get(f"{API}/2026-03-08/meters", params={"is_read": False, "zone": "DMA-1", "limit": 2})
    ).json()
    assert [row["serial"] for row in unread["items"]] == ["210000000003", "210000000007"]
    more = await viewer.get(
        f"{API}/2026-03-08/meters", params={"is_read": False, "zone": "DMA-1", "cursor": unread["next_cursor"]}
    )
    assert [row["serial"] for row in more.json()["items"]] == ["210000000009", "210000000011"]


async def test_the_definition_is_the_utilitys(read: ReadPool) -> None:
    day, zone = date(2026, 3, 8), ZoneInfo("Asia/Shanghai")
    strict = CompletenessSettings(success_readings=26)
    assert (await completeness_of_zones(read, day, day, strict, zone))[0].read == 0
    today = date(2026, 3, 10)
    whole = CompletenessSettings(success_needs_midnight=True)
    assert (await completeness_of_zones(read, today, today, whole, zone))[0].read == 0
    assert (await completeness_of_zones(read, today, today, CompletenessSettings(), zone))[0].read == 1


async def test_too_long_a_period(viewer: httpx.AsyncClient) -> None:
    assert (await viewer.get(API, params={"from": "2026-01-01", "to": "2026-03-08"})).status_code == 400


async def test_the_meters_of_an_outage(
    viewer: httpx.AsyncClient, connection: asyncpg.Connection, seeded: Seed, read: ReadPool
) -> None:
    alert_id = seeded.alert_ids[0]
    await connection.execute("INSERT INTO alert_meters SELECT $1, meter_id FROM meters", alert_id)
    found = (await viewer.get(f"/api/v1/alerts/{alert_id}/meters", params={"limit": 5})).json()
    assert [row["serial"][-2:] for row in found["items"]] == ["01", "02", "03", "04", "05"]
    assert len((await meters_of_alert(read, alert_id)).items) == METERS
    file = await viewer.get(f"/api/v1/alerts/{alert_id}/meters", params={"format": "csv"})
    assert len(file.text.splitlines()) == METERS + 1
