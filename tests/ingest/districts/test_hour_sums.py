"""The past of a new district is summed from its own meters, to what the sums of all districts say."""

import time
from datetime import UTC, date, datetime

import asyncpg
import pytest

from ingest.districts import hour_sums
from ingest.districts.stage import PAST_EVERY_S, DistrictStage
from metering.consumption import HOUR_S
from tests.ingest.districts.test_stage import SETTINGS, ZONE, add_town, store

HOURS = 100
NEW = "E"


@pytest.fixture
async def pool(any_database_url):
    pool = await asyncpg.create_pool(any_database_url, min_size=1, max_size=1)
    yield pool
    await pool.close()


async def add_new_district(pool, first_s):
    """With a building below it, an inlet and three customers that take 20, 40 and 60 litres an hour."""
    zone = await pool.fetchval("INSERT INTO zones (code, name) VALUES ($1, $1) RETURNING zone_id", NEW)
    house = await pool.fetchval(
        "INSERT INTO zones (parent_id, code, name, kind) VALUES ($1, 'H', 'H', 'building') RETURNING zone_id", zone
    )
    for number, at in enumerate([zone, zone, house, house]):
        meter_id = await pool.fetchval(
            "INSERT INTO meters (serial, q3_l_h) VALUES ($1, 2500) RETURNING meter_id", f"N{number}"
        )
        await pool.execute(
            "WITH d AS (INSERT INTO devices (device) VALUES ($1) RETURNING device_id), "
            "s AS (INSERT INTO service_points (zone_id) VALUES ($2) RETURNING service_point_id) "
            "INSERT INTO installations (service_point_id, meter_id, device_id, valid_from) "
            "SELECT service_point_id, $3, device_id, '2020-01-01' FROM d, s",
            f"N{number}", at, meter_id,
        )  # fmt: skip
        await store(pool, meter_id, first_s, [20 * number or 150] * HOURS, skip=range(30, 40) if number == 3 else ())
        if number == 0:
            await pool.execute(
                "INSERT INTO zone_flows (zone_id, meter_id, direction, valid_from) VALUES ($1, $2, 'in', '2020-01-01')",
                zone, meter_id,
            )  # fmt: skip
    return zone


async def test_a_new_district_is_summed_without_the_others(pool):
    old, inlet, customers = await add_town(pool)
    now_s = int(time.time()) // HOUR_S * HOUR_S
    first_s = now_s - HOURS * HOUR_S
    for meter_id in customers:
        await store(pool, meter_id, first_s, [10] * HOURS)
    await store(pool, inlet, first_s, [55] * HOURS)
    stage = DistrictStage(pool, ZONE, SETTINGS)
    while await stage.check(now_s):
        pass
    known = "SELECT zone_id, hour, customers_ml, computed_at FROM zone_hours WHERE zone_id = $1 ORDER BY hour"
    before = await pool.fetch(known, old)
    assert len(before) > HOURS - 5
    new = await add_new_district(pool, first_s)
    while await stage.check(now_s + PAST_EVERY_S):
        pass
    assert await pool.fetch(known, old) == before, "the others were not computed again"
    rows = await pool.fetch(known, new)
    assert [row["hour"] for row in rows] == [row["hour"] for row in before]
    assert {row["customers_ml"] for row in rows[50:]} == {120_000}


async def test_few_are_summed_as_all_are(pool):
    old, inlet, _ = await add_town(pool)
    first_s = int(datetime(2026, 3, 1, tzinfo=UTC).timestamp())
    await store(pool, inlet, first_s, [55] * HOURS)
    new = await add_new_district(pool, first_s)
    few = await hour_sums.few(pool, [new])
    assert (few.zone_ids, len(few.meter_ids)) == ([new], 4)
    for hour in (10, 35):
        at_s = first_s + hour * HOUR_S
        everybody = await hour_sums.of_hour(pool, at_s, [date(2026, 3, 1)], None)
        apart = await hour_sums.of_hour(pool, at_s, [date(2026, 3, 1)], few)
        assert [row["district"] for row in everybody] == [old, new]
        assert apart == everybody[1:]


async def test_so_many_that_reading_all_is_no_dearer_are_not_summed_apart(pool, monkeypatch):
    await add_town(pool)
    new = await add_new_district(pool, 0)
    monkeypatch.setattr(hour_sums, "MAX_METERS_APART", 3)
    assert await hour_sums.few(pool, [new]) is None
