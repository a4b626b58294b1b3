"""Settlement on a real database: days telescope, whatever the order in which readings came."""

import asyncio
import json
import random
from datetime import UTC, date, datetime
from itertools import pairwise
from zoneinfo import ZoneInfo

import asyncpg
import pytest

from ingest.settlement import metrics
from ingest.settlement.stage import SettlementStage
from metering.settings import SettlementSettings

ZONE = ZoneInfo("Asia/Shanghai")
T0 = int(datetime(2026, 3, 1, tzinfo=ZONE).timestamp())
LITRE = 1_000


def at(unix_s):
    return datetime.fromtimestamp(unix_s, UTC)


@pytest.fixture
async def pool(any_database_url):
    pool = await asyncpg.create_pool(any_database_url, min_size=1, max_size=1)
    yield pool
    await pool.close()


async def add_meters(pool, count):
    rows = await pool.fetch(
        "INSERT INTO meters (serial) SELECT 'S' || g FROM generate_series(1, $1::int) g RETURNING meter_id", count
    )
    return [row[0] for row in rows]


async def store(pool, meter_id, readings):
    """As ingest does: readings that are not there yet, and one span over them."""
    ts, index = [at(ts_s) for ts_s, _ in readings], [index_ml for _, index_ml in readings]
    await pool.execute(
        "INSERT INTO readings SELECT $1, ts, 0, index_ml FROM unnest($2::timestamptz[], $3::bigint[]) r (ts, index_ml) "
        "ON CONFLICT DO NOTHING",
        meter_id, ts, index,
    )  # fmt: skip
    await pool.execute(
        "INSERT INTO touched_spans (meter_id, from_ts, to_ts) VALUES ($1, $2, $3)", meter_id, min(ts), max(ts)
    )


async def settle(pool):
    async with pool.acquire() as connection:
        stage = SettlementStage(connection, SettlementSettings(), ZONE)
        while await stage.settle_batch():
            pass


async def days_of(pool, meter_id):
    rows = await pool.fetch("SELECT * FROM settled_days WHERE meter_id = $1 ORDER BY day", meter_id)
    return [{key: value for key, value in row.items() if key != "settled_at"} for row in rows]


def hourly(hours, litres=3, t0=T0):
    return [(t0 + 3600 * hour, (1_000 + litres * hour) * LITRE) for hour in range(hours)]


async def test_days_are_written_and_spans_are_gone(pool):
    (meter_id,) = await add_meters(pool, 1)
    await store(pool, meter_id, hourly(49))
    await settle(pool)
    days = await days_of(pool, meter_id)
    assert [day["day"] for day in days] == [date(2026, 3, 1), date(2026, 3, 2), date(2026, 3, 3)]
    assert [day["consumption_ml"] for day in days] == [72 * LITRE, 72 * LITRE, 0]
    assert [day["complete"] for day in days] == [True, True, False]
    assert days[0]["reasons"] == []
    assert days[0]["quality"] == "measured"
    assert await pool.fetchval("SELECT count(*) FROM touched_spans") == 0


async def test_the_next_report_completes_the_day_before(pool):
    (meter_id,) = await add_meters(pool, 1)
    readings = hourly(48)
    await store(pool, meter_id, readings[:24])
    await settle(pool)
    assert [day["complete"] for day in await days_of(pool, meter_id)] == [False]
    await store(pool, meter_id, readings[24:])
    await settle(pool)
    days = await days_of(pool, meter_id)
    assert [day["consumption_ml"] for day in days] == [72 * LITRE, 69 * LITRE]
    assert days[0]["complete"]


async def test_a_late_report_replaces_an_interpolated_day(pool):
    (meter_id,) = await add_meters(pool, 1)
    readings = hourly(97)
    await store(pool, meter_id, readings[:24])
    await store(pool, meter_id, readings[72:])
    await settle(pool)
    assert [day["quality"] for day in await days_of(pool, meter_id)] == [
        "interpolated", "interpolated", "interpolated", "measured", "measured",
    ]  # fmt: skip
    await store(pool, meter_id, readings[24:72])
    await settle(pool)
    days = await days_of(pool, meter_id)
    assert {day["quality"] for day in days} == {"measured"}
    assert [day["readings"] for day in days] == [24, 24, 24, 24, 1]


def messy(rng, count):
    """Readings of about `count` hours with gaps, spikes, a step back and a daily meter's spacing now and then."""
    index, ts, readings = 5_000_000, T0 + rng.randrange(3600), []
    for _ in range(count):
        ts += rng.choice([3600] * 20 + [1800, 7200, 86_400, 100_000])
        index += rng.choice([0, 0, 3, 12, 40]) * LITRE
        if rng.random() < 0.01:
            index -= 300 * LITRE
        spike = rng.choice([0] * 40 + [900_000 * LITRE, -7 * LITRE])
        readings.append((ts, max(index + spike, 0)))
    return readings


@pytest.mark.parametrize("seed", range(3))
async def test_any_order_of_arrival_gives_the_same_days(pool, seed):
    rng = random.Random(seed)
    at_once, in_pieces = await add_meters(pool, 2)
    readings = messy(rng, 150)
    await store(pool, at_once, readings)
    await settle(pool)
    pieces = [readings[low : low + 9] for low in range(0, len(readings), 9)]
    rng.shuffle(pieces)
    for piece in pieces:
        await store(pool, in_pieces, piece)
        if rng.random() < 0.5:
            await settle(pool)
    await settle(pool)
    expected = [{**day, "meter_id": in_pieces} for day in await days_of(pool, at_once)]
    assert await days_of(pool, in_pieces) == expected
    assert all(a["end_index_ml"] == b["start_index_ml"] for a, b in pairwise(expected))
    total = sum(day["consumption_ml"] + day["excluded_ml"] for day in expected)
    assert total == expected[-1]["end_index_ml"] - expected[0]["start_index_ml"]
    assert sum(day["readings"] for day in expected) == len(readings)


async def test_settling_again_writes_nothing(pool):
    (meter_id,) = await add_meters(pool, 1)
    await store(pool, meter_id, hourly(60))
    await settle(pool)
    before = await pool.fetch("SELECT xmin, * FROM settled_days ORDER BY day")
    await store(pool, meter_id, hourly(60)[10:20])
    await settle(pool)
    assert await pool.fetch("SELECT xmin, * FROM settled_days ORDER BY day") == before


async def test_spans_of_unknown_meters_are_taken_away(pool):
    await store(pool, 987_654, hourly(3))
    await settle(pool)
    assert await pool.fetchval("SELECT count(*) FROM settled_days") == 0
    assert await pool.fetchval("SELECT count(*) FROM touched_spans") == 0


async def test_a_continuous_flow_raises_an_alert_with_its_evidence_and_ends(pool):
    (meter_id,) = await add_meters(pool, 1)
    readings = hourly(48)
    await store(pool, meter_id, readings[:24])
    await settle(pool)
    assert await pool.fetchval("SELECT count(*) FROM alerts") == 0
    await store(pool, meter_id, readings[24:])
    await settle(pool)
    alert = await pool.fetchrow("SELECT * FROM alerts")
    assert alert["kind"] == "continuous_flow"
    assert alert["started_at"] == at(T0)
    assert alert["raised_at"] == at(T0 + 24 * 3600)
    assert alert["last_seen_at"] == at(T0 + 47 * 3600)
    assert alert["rate_ml_h"] == 3 * LITRE
    assert alert["loss_ml"] == 47 * 3 * LITRE
    evidence = json.loads(alert["evidence"])
    assert evidence["hours"] == 24
    assert evidence["volume_ml"] == 72 * LITRE
    still = readings[-1][1]
    await store(pool, meter_id, [(T0 + hour * 3600, still) for hour in range(48, 50)])
    await settle(pool)
    ended = await pool.fetchrow("SELECT * FROM alerts")
    assert ended["ended_at"] == at(T0 + 48 * 3600)
    assert ended["state"] == "open"
    assert await pool.fetchval("SELECT count(*) FROM alert_events") == 1


async def test_a_resolved_leak_is_raised_again_by_fresh_evidence_only(pool):
    (meter_id,) = await add_meters(pool, 1)
    readings = hourly(96)
    await store(pool, meter_id, readings[:30])
    await settle(pool)
    await pool.execute("UPDATE alerts SET state = 'resolved', closed_at = now()")
    await store(pool, meter_id, readings[30:50])
    await settle(pool)
    assert await pool.fetchval("SELECT count(*) FROM alerts") == 1
    await store(pool, meter_id, readings[50:60])
    await settle(pool)
    assert await pool.fetchval("SELECT count(*) FROM alerts WHERE state = 'open'") == 1
    await pool.execute("UPDATE alerts SET state = 'dismissed', closed_at = now() WHERE state = 'open'")
    await store(pool, meter_id, readings[60:])
    await settle(pool)
    assert await pool.fetchval("SELECT count(*) FROM alerts WHERE state = 'open'") == 0


async def test_runs_until_stopped_and_survives_a_failed_batch(database_url):
    pool = await asyncpg.create_pool(database_url, min_size=1, max_size=2)
    connection = await pool.acquire()
    (meter_id,) = await add_meters(pool, 1)
    await pool.execute("ALTER TABLE settled_days RENAME TO elsewhere")
    await store(pool, meter_id, hourly(30))
    failures = metrics.FAILURES._value.get()
    stage = SettlementStage(connection, SettlementSettings(every_s=0.01), ZONE)
    task = asyncio.create_task(stage.run())
    async with asyncio.timeout(60):
        while metrics.FAILURES._value.get() == failures:  # noqa: ASYNC110 - polls a counter
            await asyncio.sleep(0.01)
        assert await pool.fetchval("SELECT count(*) FROM touched_spans") == 1
        await pool.execute("ALTER TABLE elsewhere RENAME TO settled_days")
        while await pool.fetchval("SELECT count(*) FROM touched_spans"):  # noqa: ASYNC110 - polls the database
            await asyncio.sleep(0.01)
    assert len(await days_of(pool, meter_id)) == 2
    stage.stop()
    await asyncio.wait_for(task, 60)
    await pool.release(connection)
    await pool.close()


async def test_without_its_connection_it_ends(database_url):
    connection = await asyncpg.connect(database_url)
    task = asyncio.create_task(SettlementStage(connection, SettlementSettings(every_s=0.01), ZONE).run())
    other = await asyncpg.connect(database_url)
    await other.execute("SELECT pg_terminate_backend($1)", connection.get_server_pid())
    await asyncio.wait_for(task, 60)
    await other.close()


async def test_it_waits_while_ingest_catches_up_but_not_for_ever(pool, monkeypatch):
    await pool.execute(
        "INSERT INTO watermarks (partition, behind_s, lease_until) "
        "VALUES (0, 3600, now() + INTERVAL '1 h'), (1, 0, now() + INTERVAL '1 h')"
    )
    async with pool.acquire() as connection:
        stage = SettlementStage(connection, SettlementSettings(), ZONE)
        assert await stage.holds_back()
        monkeypatch.setattr("ingest.settlement.stage.HOLD_S", 0.0)
        assert not await stage.holds_back()
        monkeypatch.undo()
        await connection.execute("UPDATE watermarks SET lease_until = now() - INTERVAL '1 s'")  # it died behind
        assert not await stage.holds_back()
        await connection.execute("UPDATE watermarks SET behind_s = 1, lease_until = now() + INTERVAL '1 h'")
        assert not await stage.holds_back()
