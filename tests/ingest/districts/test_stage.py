"""The districts' stage on a real database: hours, days and the alert of a burst, once."""

import json
import time
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import asyncpg
import numpy as np
import pytest

from ingest.districts.late_hours import MAX_LATE, WAIT_S
from ingest.districts.stage import PAST_EVERY_S, DistrictStage
from ingest.districts.zone_alerts import ZoneFinding
from ingest.settlement.stage import SettlementStage
from metering.consumption import HOUR_S
from metering.district_settings import DistrictSettings
from metering.settings import SettlementSettings

ZONE = ZoneInfo("Asia/Shanghai")
T0 = int(datetime(2026, 3, 1, tzinfo=ZONE).timestamp())
LITRE = 1_000
SETTINGS = DistrictSettings()


@pytest.fixture
async def pool(any_database_url):
    pool = await asyncpg.create_pool(any_database_url, min_size=1, max_size=2)
    yield pool
    await pool.close()


async def add_town(pool, customers=4):
    """A district with a building in it: an inlet, customers in both; returns (zone, inlet, customers)."""
    city = await pool.fetchval("INSERT INTO zones (code, name, kind) VALUES ('C', 'C', 'city') RETURNING zone_id")
    dma = await pool.fetchval("INSERT INTO zones (parent_id, code, name) VALUES ($1, 'D', 'D') RETURNING zone_id", city)
    house = await pool.fetchval(
        "INSERT INTO zones (parent_id, code, name, kind) VALUES ($1, 'B', 'B', 'building') RETURNING zone_id", dma
    )
    meters = [
        await pool.fetchval("INSERT INTO meters (serial, q3_l_h) VALUES ($1, $2) RETURNING meter_id", f"S{n}", q3)
        for n, q3 in enumerate([100_000, *[2_500] * customers])
    ]
    for number, meter_id in enumerate(meters):
        await pool.execute(
            "WITH d AS (INSERT INTO devices (device) VALUES ($1) RETURNING device_id), "
            "s AS (INSERT INTO service_points (zone_id) VALUES ($2) RETURNING service_point_id) "
            "INSERT INTO installations (service_point_id, meter_id, device_id, valid_from) "
            "SELECT service_point_id, $3, device_id, '2020-01-01' FROM d, s",
            f"D{number}", house if number % 2 else dma, meter_id,
        )  # fmt: skip
    await pool.execute(
        "INSERT INTO zone_flows (zone_id, meter_id, direction, valid_from) VALUES ($1, $2, 'in', '2020-01-01')",
        dma, meters[0],
    )  # fmt: skip
    return dma, meters[0], meters[1:]


async def store(pool, meter_id, first_s, litres_per_hour, skip=()):
    index = np.concatenate(([0], np.cumsum(litres_per_hour)))
    rows = [
        (meter_id, datetime.fromtimestamp(first_s + HOUR_S * hour, UTC), int(litres * LITRE) + 10**9)
        for hour, litres in enumerate(index)
        if hour not in skip
    ]
    await pool.executemany("INSERT INTO readings VALUES ($1, $2, 0, $3)", rows)


async def test_hours_and_days_balance(pool):
    dma, inlet, customers = await add_town(pool)
    for meter_id in customers:
        await store(pool, meter_id, T0, [10] * 30)
    await store(pool, inlet, T0, [55] * 30)
    stage = DistrictStage(pool, ZONE, SETTINGS)
    now_s = T0 + 30 * HOUR_S
    while await stage.check(now_s):
        pass
    row = await pool.fetchrow("SELECT * FROM zone_hours WHERE hour = to_timestamp($1)", T0 + 5 * HOUR_S)
    assert (row["zone_id"], row["inlet_ml"], row["outlet_ml"], row["customers_ml"]) == (dma, 55_000, 0, 40_000)
    assert (row["meters"], row["measured"], row["estimated_ml"]) == (4, 4, 0)
    day = await pool.fetchrow("SELECT * FROM zone_days WHERE day = '2026-03-01'")
    assert (day["inlet_ml"], day["customers_ml"]) == (24 * 55_000, 24 * 40_000)
    assert (day["night_inflow_ml_h"], day["night_use_ml_h"]) == (55_000, 40_000)


async def test_a_register_behind_a_transmission_counts_by_its_multiplier(pool):
    """Those who report and those who are estimated; what is stored stays what the register says."""
    _, inlet, customers = await add_town(pool)
    await pool.execute("UPDATE installations SET multiplier = 10 WHERE meter_id = $1", customers[0])
    for meter_id in customers:
        await store(pool, meter_id, T0, [10] * 30)
    await store(pool, inlet, T0, [150] * 30)
    stage = DistrictStage(pool, ZONE, SETTINGS)
    while await stage.check(T0 + 30 * HOUR_S):
        pass
    row = await pool.fetchrow("SELECT * FROM zone_hours WHERE hour = to_timestamp($1)", T0 + 5 * HOUR_S)
    assert (row["inlet_ml"], row["customers_ml"]) == (150_000, 130_000)


async def test_a_missing_customer_is_estimated_and_widens_the_band(pool):
    _, inlet, customers = await add_town(pool)
    for number, meter_id in enumerate(customers):
        await store(pool, meter_id, T0, [10] * (3 if number == 0 else 30))
    await store(pool, inlet, T0, [55] * 30)
    stage = DistrictStage(pool, ZONE, SETTINGS)
    while await stage.check(T0 + 30 * HOUR_S):
        pass
    known, guessed = await pool.fetch(
        "SELECT * FROM zone_hours WHERE hour = ANY($1) ORDER BY hour",
        [datetime.fromtimestamp(T0 + hour * HOUR_S, UTC) for hour in (1, 20)],
    )
    assert (guessed["measured"], guessed["customers_ml"], guessed["estimated_ml"]) == (3, 40_000, 10_000)
    assert guessed["sigma_ml"] > 3 * known["sigma_ml"]


async def test_a_meter_that_changed_counts_for_its_time(pool):
    dma, inlet, customers = await add_town(pool)
    change = datetime.fromtimestamp(T0 + 10 * HOUR_S, UTC)
    await pool.execute("UPDATE zone_flows SET valid_to = $1", change)
    for meter_id in customers:
        await store(pool, meter_id, T0, [10] * 30)
    await store(pool, inlet, T0, [55] * 30)
    stage = DistrictStage(pool, ZONE, SETTINGS)
    while await stage.check(T0 + 30 * HOUR_S):
        pass
    assert await pool.fetchval("SELECT max(hour) FROM zone_hours WHERE zone_id = $1", dma) < change


async def test_a_burst_raises_one_alert_which_its_repair_ends(pool):
    dma, _, _ = await add_town(pool)
    hours = SETTINGS.days * 24 - 10
    rng = np.random.default_rng(1)
    customers = 40_000 + 20_000 * np.sin(2 * np.pi * np.arange(hours) / 24)
    burst, repair = 45 * 24, 50 * 24
    unaccounted = 5_000 + rng.normal(0, 300, hours)
    unaccounted[burst:repair] += 15_000

    async def until(hour):
        await pool.execute("TRUNCATE zone_hours")
        await pool.executemany(
            "INSERT INTO zone_hours VALUES ($1, $2, $3, 0, $4, 0, 400, 4, 4)",
            [
                (dma, datetime.fromtimestamp(T0 + HOUR_S * at, UTC), int(customers[at] + unaccounted[at]),
                 int(customers[at]))
                for at in range(hour)
            ],
        )  # fmt: skip
        await DistrictStage(pool, ZONE, SETTINGS)._detect(T0 + HOUR_S * hour)
        return await pool.fetch("SELECT * FROM alerts WHERE kind = 'district_leak'")

    assert await until(burst) == []
    (alert,) = await until(burst + 12)
    assert alert["zone_id"] == dma
    assert alert["meter_id"] is None
    assert abs(alert["started_at"].timestamp() - (T0 + HOUR_S * burst)) <= 3 * HOUR_S
    assert alert["rate_ml_h"] == pytest.approx(15_000, rel=0.2)
    assert json.loads(alert["evidence"])["rule"] == "balance"
    (same,) = await until(burst + 48)
    assert (same["alert_id"], same["ended_at"]) == (alert["alert_id"], None)
    (ended,) = await until(repair + 24)
    assert abs(ended["ended_at"].timestamp() - (T0 + HOUR_S * repair)) <= 6 * HOUR_S
    await pool.execute("UPDATE alerts SET state = 'resolved', closed_at = now()")
    assert len(await until(repair + 48)) == 1


async def test_a_burst_that_lasts_a_day_after_it_was_called_resolved_is_raised_again(pool):
    dma, _, _ = await add_town(pool)

    async def told(hour, ended=None):
        ended_s = None if ended is None else T0 + ended * HOUR_S
        finding = ZoneFinding(
            dma, "critical", T0, T0 + 8 * HOUR_S, T0 + hour * HOUR_S, ended_s, 15_000, {"rule": "balance"}
        )
        await DistrictStage(pool, ZONE, SETTINGS)._tell(finding, T0 + hour * HOUR_S)
        return await pool.fetch("SELECT * FROM alerts WHERE kind = 'district_leak' ORDER BY alert_id")

    assert len(await told(40)) == 1
    closed = datetime.fromtimestamp(T0 + 48 * HOUR_S, UTC)
    await pool.execute("UPDATE alerts SET state = 'resolved', closed_at = $1", closed)
    assert len(await told(71)) == 1
    assert len(await told(72, ended=60)) == 1, "mended meanwhile"
    first, again = await told(72)
    assert (first["state"], again["state"], again["rate_ml_h"]) == ("resolved", "open", 15_000)
    assert again["raised_at"] == closed + timedelta(hours=24)
    assert len(await told(73)) == 2, "that one is brought in line"
    await pool.execute("UPDATE alerts SET state = 'dismissed', closed_at = $1 WHERE state = 'open'", closed)
    assert len(await told(200)) == 2, "a false alarm stays one"


AGED_ROUNDS = 4
"""An hour or two go by while late hours are computed, and those that are due by age come first."""


async def test_readings_that_come_days_late_are_in_the_balance_after_all(pool):
    """Of a district whose hours nobody looks at again by age; only what they touch is computed again, and once."""
    _, inlet, customers = await add_town(pool)
    now_s = int(time.time()) // HOUR_S * HOUR_S
    first_s = now_s - 8 * 24 * HOUR_S
    late_h = range(30, 40)
    for number, meter_id in enumerate(customers):
        await store(pool, meter_id, first_s, [10 + 10 * number] * 192, skip=late_h if number == 3 else ())
    await store(pool, inlet, first_s, [120] * 192)
    stage = DistrictStage(pool, ZONE, SETTINGS)
    while await stage.check(now_s):
        pass

    async def hours():
        rows = await pool.fetch("SELECT extract(epoch FROM hour)::bigint, customers_ml, measured FROM zone_hours")
        return {(row[0] - first_s) // HOUR_S: (row[1], row[2]) for row in rows}

    async def settle():
        async with pool.acquire() as connection:
            while await SettlementStage(connection, SettlementSettings(), ZONE).settle_batch():
                pass

    before = await hours()
    assert before[34][1] == 3
    assert await pool.fetchval("SELECT count(*) FROM late_zone_hours") == 0
    rows = [
        (customers[3], datetime.fromtimestamp(first_s + HOUR_S * hour, UTC), 40 * LITRE * hour + 10**9)
        for hour in late_h
    ]
    await pool.executemany("INSERT INTO readings VALUES ($1, $2, 0, $3)", rows)
    await pool.execute(
        "INSERT INTO touched_spans (meter_id, from_ts, to_ts) VALUES ($1, $2, $3)",
        customers[3],
        rows[0][1],
        rows[-1][1],
    )
    await settle()
    noted = await pool.fetchval("SELECT count(*) FROM late_zone_hours")
    assert 10 < noted < 20
    noted_s = int(time.time())
    await stage.check(noted_s + PAST_EVERY_S)
    assert await pool.fetchval("SELECT count(*) FROM late_zone_hours") == noted, "stragglers are waited for"
    for later in range(1, 2 + noted // MAX_LATE + AGED_ROUNDS):
        await stage.check(noted_s + WAIT_S + later * PAST_EVERY_S)
    after = await hours()
    assert (after[34], after[20]) == ((100_000, 4), before[20])
    assert await pool.fetchval("SELECT count(*) FROM late_zone_hours") == 0
