"""Alarm flags of meters as alerts, and silence, on real databases."""

import json
import uuid
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from ingest.leaks.alarms import AlarmEvent, record_alarms
from ingest.leaks.silence import SilenceStage
from metering.alarms import Alarm
from metering.clock import now_us
from metering.settings import SettlementSettings

T0 = 1_767_225_600
DAY = 86_400


@pytest.fixture
async def pool(any_database_url):
    pool = await asyncpg.create_pool(any_database_url, min_size=1, max_size=1)
    yield pool
    await pool.close()


async def add_meter(pool, serial="1", installed_at=None, enabled=True, registered_at=None):
    meter_id = await pool.fetchval("INSERT INTO meters (serial) VALUES ($1) RETURNING meter_id", serial)
    point = await pool.fetchval("INSERT INTO service_points (address) VALUES ('here') RETURNING service_point_id")
    device = await pool.fetchval(
        "INSERT INTO devices (device, enabled, registered_at) VALUES ($1, $2, $3) RETURNING device_id",
        serial, enabled, registered_at or installed_at or datetime.fromtimestamp(T0 - DAY, UTC),
    )  # fmt: skip
    await pool.execute(
        "INSERT INTO installations (service_point_id, meter_id, device_id, valid_from) VALUES ($1, $2, $3, $4)",
        point, meter_id, device, installed_at or datetime.fromtimestamp(T0 - DAY, UTC),
    )  # fmt: skip
    return meter_id, device


def event(meter_id, day, alarms, number=1):
    return AlarmEvent(meter_id, bytes([number]) * 16, T0 + day * DAY, int(alarms))


async def record(pool, *events):
    async with pool.acquire() as connection, connection.transaction():
        await record_alarms(connection, events)


async def alerts_of(pool, meter_id):
    return await pool.fetch("SELECT * FROM alerts WHERE meter_id = $1 ORDER BY kind, alert_id", meter_id)


async def test_each_flag_is_an_alert_that_names_report_time_and_bit(pool):
    meter_id, _ = await add_meter(pool)
    await record(pool, event(meter_id, 0, Alarm.LEAK | Alarm.MAGNETIC_TAMPER, 7))
    leak, tamper = await alerts_of(pool, meter_id)
    assert (leak["kind"], tamper["kind"]) == ("meter_alarm:leak", "meter_alarm:magnetic_tamper")
    assert leak["service_point_id"] is not None
    assert json.loads(tamper["evidence"]) == {
        "alarm": "magnetic_tamper",
        "bit": 3,
        "report_id": str(uuid.UUID(bytes=b"\x07" * 16)),
        "reported_at": "2026-01-01T00:00:00+00:00",
    }
    assert await pool.fetchval("SELECT count(*) FROM alert_events WHERE actor = 'platform'") == 2


async def test_the_same_flag_again_updates_and_its_absence_ends(pool):
    meter_id, _ = await add_meter(pool)
    await record(pool, event(meter_id, 0, Alarm.LEAK))
    await record(pool, event(meter_id, 1, Alarm.LEAK), event(meter_id, 1, Alarm.LEAK))
    (alert,) = await alerts_of(pool, meter_id)
    assert alert["last_seen_at"] - alert["started_at"] == timedelta(days=1)
    await record(pool, event(meter_id, 2, 0))
    (alert,) = await alerts_of(pool, meter_id)
    assert alert["ended_at"] == datetime.fromtimestamp(T0 + 2 * DAY, UTC)
    assert alert["state"] == "open"


async def test_a_report_that_comes_late_changes_nothing(pool):
    meter_id, _ = await add_meter(pool)
    await record(pool, event(meter_id, 3, Alarm.LEAK))
    await record(pool, event(meter_id, 1, 0))
    (alert,) = await alerts_of(pool, meter_id)
    assert alert["ended_at"] is None
    await pool.execute("UPDATE alerts SET state = 'resolved', closed_at = now()")
    await record(pool, event(meter_id, 2, Alarm.LEAK))
    assert len(await alerts_of(pool, meter_id)) == 1


async def test_an_alarm_that_comes_back_is_raised_when_it_came_back(pool):
    meter_id, _ = await add_meter(pool)
    await record(pool, event(meter_id, 1, Alarm.LEAK))
    await record(pool, event(meter_id, 2, 0))
    await record(pool, event(meter_id, 5, Alarm.LEAK))
    (alert,) = await alerts_of(pool, meter_id)
    assert alert["started_at"] == alert["raised_at"] == datetime.fromtimestamp(T0 + 5 * DAY, UTC)
    assert alert["ended_at"] is None


async def test_in_one_batch_the_newest_report_decides(pool):
    meter_id, _ = await add_meter(pool)
    await record(pool, event(meter_id, 1, 0), event(meter_id, 0, Alarm.LEAK))
    (alert,) = await alerts_of(pool, meter_id)
    assert alert["ended_at"] is not None


async def test_after_resolving_the_next_report_raises_it_anew(pool):
    meter_id, _ = await add_meter(pool)
    await record(pool, event(meter_id, 0, Alarm.LEAK))
    await pool.execute("UPDATE alerts SET state = 'resolved', closed_at = now()")
    await record(pool, event(meter_id, 1, Alarm.LEAK))
    assert [alert["state"] for alert in await alerts_of(pool, meter_id)] == ["resolved", "open"]


async def test_after_dismissal_only_a_new_fault_raises_it(pool):
    meter_id, _ = await add_meter(pool)
    await record(pool, event(meter_id, 0, Alarm.LEAK))
    await pool.execute("UPDATE alerts SET state = 'dismissed', closed_at = now()")
    await record(pool, event(meter_id, 1, Alarm.LEAK))
    assert [alert["state"] for alert in await alerts_of(pool, meter_id)] == ["dismissed"]
    await record(pool, event(meter_id, 2, 0))
    await record(pool, event(meter_id, 3, Alarm.LEAK))
    assert [alert["state"] for alert in await alerts_of(pool, meter_id)] == ["dismissed", "open"]


async def heard(pool, device_id, hours_ago):
    await pool.execute(
        "INSERT INTO device_latest (device_id, last_report_at, last_report_id) "
        "VALUES ($1, now() - make_interval(secs => $2), $3) "
        "ON CONFLICT (device_id) DO UPDATE SET last_report_at = EXCLUDED.last_report_at",
        device_id, hours_ago * 3600.0, uuid.uuid4(),
    )  # fmt: skip


def now():
    return datetime.now(UTC)


async def test_a_silent_meter_raises_once_and_ends_when_heard(pool):
    meter_id, device_id = await add_meter(pool, installed_at=now() - timedelta(days=9))
    await heard(pool, device_id, 30)
    stage = SilenceStage(pool, SettlementSettings())
    await stage.check(now_us())
    await stage.check(now_us())
    (alert,) = await alerts_of(pool, meter_id)
    assert alert["kind"] == "silent"
    assert timedelta(hours=29) < alert["raised_at"] - alert["started_at"] < timedelta(hours=31)
    await heard(pool, device_id, 0)
    await stage.check(now_us())
    (alert,) = await alerts_of(pool, meter_id)
    assert alert["ended_at"] is not None


async def test_a_resolved_silence_is_raised_by_a_new_one_only(pool):
    meter_id, device_id = await add_meter(pool, installed_at=now() - timedelta(days=9))
    await heard(pool, device_id, 60)
    stage = SilenceStage(pool, SettlementSettings())
    await stage.check(now_us())
    await pool.execute(
        "UPDATE alerts SET state = 'resolved', last_seen_at = now() - interval '33 h', closed_at = now()"
    )
    await stage.check(now_us())
    assert len(await alerts_of(pool, meter_id)) == 1
    await heard(pool, device_id, 26)
    await stage.check(now_us())
    assert [alert["state"] for alert in await alerts_of(pool, meter_id)] == ["resolved", "open"]


async def test_who_never_reported_has_time_from_installation(pool):
    fresh, _ = await add_meter(pool, "1", now() - timedelta(hours=3))
    old, _ = await add_meter(pool, "2", now() - timedelta(hours=26))
    disabled, _ = await add_meter(pool, "3", now() - timedelta(hours=26), enabled=False)
    registered_now, _ = await add_meter(pool, "4", now() - timedelta(days=9000), registered_at=now())
    await SilenceStage(pool, SettlementSettings()).check(now_us())
    assert not await alerts_of(pool, fresh)
    assert not await alerts_of(pool, registered_now)
    assert not await alerts_of(pool, disabled)
    (alert,) = await alerts_of(pool, old)
    assert json.loads(alert["evidence"])["last_report_at"] is None


async def test_while_ingest_catches_up_nobody_is_silent(pool):
    meter_id, device_id = await add_meter(pool, "1", now() - timedelta(days=9))
    _, other = await add_meter(pool, "2", now() - timedelta(days=9))
    await heard(pool, device_id, 40)
    await heard(pool, other, 20)
    await SilenceStage(pool, SettlementSettings()).check(now_us())
    assert not await alerts_of(pool, meter_id)
    await heard(pool, other, 10)
    await SilenceStage(pool, SettlementSettings()).check(now_us())
    assert len(await alerts_of(pool, meter_id)) == 1


@pytest.fixture
async def a_day_ahead(database_url):
    """A pool of connections to a database whose clock is 26 hours ahead."""
    connection = await asyncpg.connect(database_url)
    await connection.execute(
        "CREATE SCHEMA wrong_clock; CREATE FUNCTION wrong_clock.now() RETURNS timestamptz STABLE LANGUAGE sql "
        "AS $$ SELECT pg_catalog.now() + interval '26 h' $$"
    )
    await connection.close()
    path = {"search_path": "wrong_clock, pg_catalog, public"}
    pool = await asyncpg.create_pool(database_url, min_size=1, max_size=1, server_settings=path)
    yield pool
    await pool.close()


async def test_a_database_whose_clock_is_a_day_ahead_calls_nobody_silent(a_day_ahead):
    pool = a_day_ahead
    assert now() + timedelta(hours=25) < await pool.fetchval("SELECT now()")
    meters = [await add_meter(pool, str(n), now() - timedelta(days=9)) for n in range(6)]
    for (_, device_id), hours in zip(meters, [3, 9, 15, 21, 30], strict=False):
        await heard(pool, device_id, 26 + hours)
    fresh, _ = await add_meter(pool, "7", now() - timedelta(hours=3), registered_at=now() - timedelta(hours=3))
    stage = SilenceStage(pool, SettlementSettings())
    await stage.check(now_us())
    silent = await pool.fetch("SELECT meter_id, raised_at FROM alerts ORDER BY alert_id")
    assert {row["meter_id"] for row in silent} == {meters[4][0], meters[5][0]}  # for 30 h, and for ever
    assert all(row["raised_at"] < now() + timedelta(minutes=5) for row in silent)
    await heard(pool, meters[4][1], 26)
    await stage.check(now_us())
    assert await pool.fetchval("SELECT count(*) FROM alerts WHERE ended_at IS NOT NULL") == 1
    assert not await alerts_of(pool, fresh)


async def test_our_own_clock_and_a_gateways_that_run_ahead_call_nobody_silent(pool):
    meter_id, device_id = await add_meter(pool, "1", now() - timedelta(days=9))
    _, other = await add_meter(pool, "2", now() - timedelta(days=9))
    await heard(pool, device_id, 10)
    await heard(pool, other, -20)
    await SilenceStage(pool, SettlementSettings()).check(now_us() + 26 * 3_600_000_000)
    assert not await alerts_of(pool, meter_id)
