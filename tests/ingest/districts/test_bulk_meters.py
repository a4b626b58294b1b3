"""Bulk meters with values every 5 to 15 minutes, several of a district, exchanged, late, behind a transmission."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import asyncpg
import numpy as np
import pytest

from ingest.districts.stage import DistrictStage
from metering.consumption import HOUR_S
from metering.district_settings import DistrictSettings

ZONE = ZoneInfo("Asia/Shanghai")
T0 = int(datetime(2026, 3, 1, tzinfo=ZONE).timestamp())
DAY_S = 86_400
QUARTER_S = 900
NOW_S = T0 + DAY_S + 3 * HOUR_S


@pytest.fixture
async def pool(any_database_url):
    pool = await asyncpg.create_pool(any_database_url, min_size=1, max_size=2)
    yield pool
    await pool.close()


async def add_zone(pool, code="D"):
    return await pool.fetchval("INSERT INTO zones (code, name) VALUES ($1, $1) RETURNING zone_id", code)


async def add_bulk(pool, zone_id, serial, direction, *, since=None, until=None, multiplier=1):
    meter_id = await pool.fetchval("INSERT INTO meters (serial, q3_l_h) VALUES ($1, 100000) RETURNING meter_id", serial)
    await pool.execute(
        "WITH d AS (INSERT INTO devices (device) VALUES ($1) RETURNING device_id), "
        "s AS (INSERT INTO service_points (zone_id) VALUES ($2) RETURNING service_point_id) "
        "INSERT INTO installations (service_point_id, meter_id, device_id, valid_from, multiplier) "
        "SELECT service_point_id, $3, device_id, '2020-01-01', $4 FROM d, s",
        f"device {serial}", zone_id, meter_id, multiplier,
    )  # fmt: skip
    await count(pool, zone_id, meter_id, direction, since, until)
    return meter_id


async def count(pool, zone_id, meter_id, direction, since=None, until=None):
    await pool.execute(
        "INSERT INTO zone_flows (zone_id, meter_id, direction, valid_from, valid_to) VALUES ($1, $2, $3, "
        "COALESCE($4, '-infinity'::timestamptz), $5)",
        zone_id, meter_id, direction, since, until,
    )  # fmt: skip


def at(seconds):
    return datetime.fromtimestamp(T0 + seconds, UTC)


async def store(pool, meter_id, index_ml, every_s=QUARTER_S, first_s=0):
    rows = [(meter_id, at(first_s + place * every_s), int(index)) for place, index in enumerate(index_ml)]
    await pool.executemany("INSERT INTO readings VALUES ($1, $2, 0, $3) ON CONFLICT DO NOTHING", rows)


def index_of(seed, values=97, mean_l=2_000):
    """An uneven flow, some quarters of an hour without any."""
    steps = np.random.default_rng(seed).integers(0, 2 * mean_l, values - 1) * 1_000
    steps[::7] = 0
    return 10**9 + np.concatenate(([0], np.cumsum(steps)))


async def balance(pool, now_s=NOW_S):
    stage = DistrictStage(pool, ZONE, DistrictSettings())
    while await stage.check(now_s):
        pass
    rows = await pool.fetch(
        "SELECT *, extract(epoch FROM hour)::bigint AS hour_s FROM zone_hours ORDER BY zone_id, hour"
    )
    return {(row["zone_id"], (row["hour_s"] - T0) // HOUR_S): row for row in rows}


@pytest.mark.parametrize("every_s", [300, 900])
async def test_hours_of_a_day_of_short_values_sum_to_the_index_difference(pool, every_s):
    zone = await add_zone(pool)
    meter = await add_bulk(pool, zone, "B1", "in")
    index = index_of(1, DAY_S // every_s + 1)
    await store(pool, meter, index, every_s)
    hours = await balance(pool)
    inlet = [hours[zone, hour]["inlet_ml"] for hour in range(24)]
    assert inlet == np.diff(index[:: HOUR_S // every_s]).tolist()
    day = await pool.fetchrow("SELECT * FROM zone_days WHERE day = '2026-03-01'")
    assert day["inlet_ml"] == index[-1] - index[0]


async def test_times_beside_the_hour_and_missing_values_lose_no_water(pool):
    """The meter's clock is two minutes off, single values are lost, and 40 minutes in a row."""
    zone = await add_zone(pool)
    meter = await add_bulk(pool, zone, "B1", "in")
    index = index_of(2)
    kept = [place for place in range(97) if place % 11 and place not in (41, 42)]
    rows = [(meter, at(place * QUARTER_S + 120), int(index[place])) for place in [0, *kept, 96] if place]
    await pool.executemany("INSERT INTO readings VALUES ($1, $2, 0, $3) ON CONFLICT DO NOTHING", rows)
    hours = await balance(pool)
    inlet = {hour: hours[zone, hour]["inlet_ml"] for hour in range(1, 24)}
    assert None not in inlet.values()
    first, last = (np.interp(t, [place * QUARTER_S + 120 for place in [*kept, 96]], [index[p] for p in [*kept, 96]])
                   for t in (HOUR_S, DAY_S))  # fmt: skip
    assert sum(inlet.values()) == pytest.approx(last - first, abs=24)


async def test_late_values_are_taken_in_when_the_hour_is_looked_at_again(pool):
    zone = await add_zone(pool)
    meter = await add_bulk(pool, zone, "B1", "in")
    index = index_of(3)
    await store(pool, meter, index[:40])
    early = await balance(pool, T0 + 12 * HOUR_S)
    assert early[zone, 8]["inlet_ml"] is not None
    assert (zone, 10) not in early
    await store(pool, meter, index)
    late = await balance(pool, T0 + 37 * HOUR_S)
    assert [late[zone, hour]["inlet_ml"] for hour in range(24)] == np.diff(index[::4]).tolist()


async def test_two_inlets_and_an_outlet_which_is_the_next_district_s_inlet(pool):
    zone, after = await add_zone(pool, "D"), await add_zone(pool, "E")
    meters = [await add_bulk(pool, zone, serial, "in") for serial in ("N", "S")]
    out = await add_bulk(pool, zone, "O", "out")
    await count(pool, after, out, "in")
    indices = [index_of(seed) for seed in (4, 5, 6)]
    for meter, index in zip([*meters, out], indices, strict=True):
        await store(pool, meter, index)
    hours = await balance(pool)
    a, b, c = (np.diff(index[::4]) for index in indices)
    assert [hours[zone, hour]["inlet_ml"] for hour in range(24)] == (a + b).tolist()
    assert [hours[zone, hour]["outlet_ml"] for hour in range(24)] == c.tolist()
    assert [hours[after, hour]["inlet_ml"] for hour in range(24)] == c.tolist()


async def test_an_inlet_without_values_leaves_the_hour_unknown(pool):
    zone = await add_zone(pool)
    there, gone = [await add_bulk(pool, zone, serial, "in") for serial in ("N", "S")]
    await store(pool, there, index_of(7))
    await store(pool, gone, index_of(8)[:49])
    hours = await balance(pool)
    assert hours[zone, 11]["inlet_ml"] is not None
    assert (zone, 12) not in hours  # nor is a customer measured: nothing is known


async def test_an_inlet_that_is_exchanged_goes_on_with_the_new_register(pool):
    zone, change = await add_zone(pool), at(10 * HOUR_S)
    old = await add_bulk(pool, zone, "OLD", "in", until=change)
    new = await add_bulk(pool, zone, "NEW", "in", since=change)
    index, other = index_of(9), index_of(10) - 10**9
    await store(pool, old, index[:41])
    await store(pool, new, other[:57], first_s=10 * HOUR_S)
    hours = await balance(pool)
    inlet = [hours[zone, hour]["inlet_ml"] for hour in range(24)]
    assert inlet == [*np.diff(index[:41:4]).tolist(), *np.diff(other[:57:4]).tolist()]


async def test_registers_behind_a_transmission_count_by_their_multiplier(pool):
    """A pulse for each ten on the dial: what is stored is what the register says."""
    zone = await add_zone(pool)
    inlet = await add_bulk(pool, zone, "I", "in", multiplier=10)
    outlet = await add_bulk(pool, zone, "O", "out", multiplier=100)
    index, out = index_of(11), index_of(12, mean_l=10)
    await store(pool, inlet, index)
    await store(pool, outlet, out)
    hours = await balance(pool)
    assert [hours[zone, hour]["inlet_ml"] for hour in range(24)] == (10 * np.diff(index[::4])).tolist()
    assert [hours[zone, hour]["outlet_ml"] for hour in range(24)] == (100 * np.diff(out[::4])).tolist()


async def test_a_district_that_is_entered_today_has_its_past(pool):
    """Its meters have reported for ten days; another district was there all the time."""
    before = await add_zone(pool, "OTHER")
    other = await add_bulk(pool, before, "B0", "in")
    index = index_of(13, 10 * 24 + 1)
    await store(pool, other, index, HOUR_S)
    now_s = T0 + 10 * DAY_S + HOUR_S
    await balance(pool, now_s)
    zone = await add_zone(pool)
    meter = await add_bulk(pool, zone, "B1", "in")
    await store(pool, meter, index, HOUR_S)
    hours = await balance(pool, now_s + 60)
    assert [hours[zone, hour]["inlet_ml"] for hour in range(239)] == np.diff(index[:240]).tolist()
    assert await pool.fetchval("SELECT count(*) FROM zone_days WHERE zone_id = $1", zone) == 10
    assert await DistrictStage(pool, ZONE, DistrictSettings()).check(now_s + 120) < 12
