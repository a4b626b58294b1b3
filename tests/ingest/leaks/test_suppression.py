"""Suppression windows: what they keep from being raised, for whom, and what is raised when they are over."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import asyncpg
import pytest

from ingest.districts.stage import DistrictStage
from ingest.districts.zone_alerts import DISTRICT_LEAK, ZoneFinding
from ingest.leaks import alerts
from ingest.leaks.silence import SilenceStage
from metering.clock import now_us
from metering.district_settings import DistrictSettings
from metering.settings import OutageSettings, SettlementSettings

T0 = 1_767_225_600
HOUR = 3_600


@pytest.fixture
async def pool(database_url):
    pool = await asyncpg.create_pool(database_url, min_size=1, max_size=1)
    yield pool
    await pool.close()


@pytest.fixture
async def zones(pool):
    """A city, a district in it and a building in that."""
    city = await pool.fetchval("INSERT INTO zones (code, name, kind) VALUES ('C', 'C', 'city') RETURNING zone_id")
    found = [city]
    for code in ("D", "B"):
        found.append(
            await pool.fetchval(
                "INSERT INTO zones (parent_id, code, name) VALUES ($1, $2, $2) RETURNING zone_id", found[-1], code
            )
        )
    return found


async def add_meter(pool, serial, zone_id=None, heard_at=None):
    meter = await pool.fetchval("INSERT INTO meters (serial) VALUES ($1) RETURNING meter_id", serial)
    device = await pool.fetchval("INSERT INTO devices (device) VALUES ($1) RETURNING device_id", serial)
    await pool.execute(
        "WITH s AS (INSERT INTO service_points (zone_id) VALUES ($1) RETURNING service_point_id) "
        "INSERT INTO installations (service_point_id, meter_id, device_id, valid_from) "
        "SELECT service_point_id, $2, $3, '2020-01-01Z' FROM s",
        zone_id, meter, device,
    )  # fmt: skip
    if heard_at:
        await pool.execute(
            "INSERT INTO device_latest (device_id, meter_id, last_report_at, last_report_id) VALUES ($1, $2, $3, $4)",
            device, meter, heard_at, bytes(16).hex(),
        )  # fmt: skip
    return meter


async def suppress(pool, meter_id=None, zone_id=None, kind=None, from_h=0, to_h=10, begin=None):
    begin = begin or datetime.fromtimestamp(T0, UTC)
    return await pool.fetchval(
        "INSERT INTO alert_suppressions (meter_id, zone_id, kind, valid_from, valid_to, reason, created_by) "
        "VALUES ($1, $2, $3, $4, $5, 'works', 'op') RETURNING suppression_id",
        meter_id, zone_id, kind, begin + timedelta(hours=from_h), begin + timedelta(hours=to_h),
    )  # fmt: skip


async def find(pool, meter_id, seen_h, kind="continuous_flow", raised_h=2):
    """A finding from hour 1 on, enough at `raised_h`, seen last at `seen_h`; the alerts there are then."""
    finding = alerts.Finding(
        meter_id, kind, "warning", T0 + HOUR, T0 + HOUR, T0 + raised_h * HOUR, T0 + seen_h * HOUR, 5_000, {}
    )
    async with pool.acquire() as connection, connection.transaction():
        await alerts.raise_or_update(connection, [finding])
    return await pool.fetch("SELECT * FROM alerts WHERE meter_id = $1 ORDER BY alert_id", meter_id)


async def test_what_outlasts_the_window_is_raised_as_of_its_end(pool):
    meter = await add_meter(pool, "1")
    await suppress(pool, meter_id=meter)
    assert await find(pool, meter, 9) == []
    (alert,) = await find(pool, meter, 10)
    assert alert["raised_at"] == datetime.fromtimestamp(T0 + 10 * HOUR, UTC)
    assert alert["started_at"] == datetime.fromtimestamp(T0 + HOUR, UTC)
    assert await pool.fetchval("SELECT at FROM alert_events") == alert["raised_at"]


async def test_windows_of_zones_hold_for_the_zones_below(pool, zones):
    city, district, building = zones
    inside, beside = await add_meter(pool, "1", building), await add_meter(pool, "2", city)
    await suppress(pool, zone_id=district)
    assert await find(pool, inside, 5) == []
    assert len(await find(pool, beside, 5)) == 1


@pytest.mark.parametrize(
    ("window", "kind", "raised"),
    [
        (None, "leak", False), ("leak", "leak", False), ("leak", "burst", True),
        ("meter_alarm:", "meter_alarm:leak", False), ("meter_alarm:", "leak", True),
    ],
)  # fmt: skip
async def test_a_window_is_for_one_kind_or_a_family_or_all(pool, window, kind, raised):
    meter = await add_meter(pool, "1")
    await suppress(pool, meter_id=meter, kind=window)
    assert bool(await find(pool, meter, 5, kind)) is raised


async def test_an_alert_that_is_there_lives_on_but_one_that_was_over_is_not_raised_again(pool):
    meter = await add_meter(pool, "1")
    await find(pool, meter, 3)
    await suppress(pool, meter_id=meter, from_h=4)
    (alert,) = await find(pool, meter, 5)
    assert alert["last_seen_at"] == datetime.fromtimestamp(T0 + 5 * HOUR, UTC)
    async with pool.acquire() as connection:
        await alerts.end(connection, [alerts.Ended(meter, "continuous_flow", T0 + 6 * HOUR)])
    (alert,) = await find(pool, meter, 8)
    assert alert["ended_at"] is not None
    (alert,) = await find(pool, meter, 11, raised_h=11)
    assert alert["ended_at"] is None


async def test_districts_are_silent_too_while_works_go_on(pool, zones):
    city, district, _ = zones
    await suppress(pool, zone_id=city, kind=DISTRICT_LEAK)
    found = ZoneFinding(district, "warning", T0 + HOUR, T0 + 2 * HOUR, T0 + 2 * HOUR, None, 5_000, {})
    stage = DistrictStage(pool, ZoneInfo("Asia/Shanghai"), DistrictSettings())
    await stage._tell(found, T0 + 9 * HOUR)
    assert await pool.fetch("SELECT * FROM alerts") == []
    await stage._tell(found, T0 + 11 * HOUR)
    assert await pool.fetchval("SELECT raised_at FROM alerts") == datetime.fromtimestamp(T0 + 10 * HOUR, UTC)


async def test_silence_and_outages(pool, zones):
    """Meters whose silence is suppressed are not called silent, and start no outage."""
    now = datetime.now(UTC)
    silent = [await add_meter(pool, str(n), zones[2], now - timedelta(hours=60)) for n in range(6)]
    beside = await add_meter(pool, "9", heard_at=now - timedelta(hours=70))
    window = await suppress(pool, zone_id=zones[1], kind="silent", begin=now - timedelta(hours=5))
    stage = SilenceStage(pool, SettlementSettings(), OutageSettings(min_meters=5, min_share=0.8, within_h=2))
    await stage.check(now_us())
    assert [row["meter_id"] for row in await pool.fetch("SELECT meter_id FROM alerts")] == [beside]
    await pool.execute("UPDATE alert_suppressions SET valid_to = now() WHERE suppression_id = $1", window)
    await stage.check(now_us())
    assert await pool.fetchval("SELECT count(*) FROM alert_meters WHERE meter_id = ANY($1)", silent) == 6
