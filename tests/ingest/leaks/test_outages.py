"""Many meters that fall silent together are one event: of a cell, a zone or a door; others stay single alerts."""

import json
import uuid
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from ingest.leaks.outage_groups import Silent, candidates, is_outage
from ingest.leaks.outages import raise_outages
from ingest.leaks.silence import SilenceStage
from metering.clock import now_us
from metering.settings import OutageSettings, SettlementSettings

SETTINGS = OutageSettings(min_meters=5, min_share=0.8, within_h=2)
HOUR = 3_600


def silent(meter, heard_h, **shares):
    return Silent(meter, int(heard_h * HOUR), shares)


def test_the_largest_group_comes_first_and_cells_before_zones():
    meters = [silent(n, 1, cell="7", zone="1") for n in range(6)] + [silent(n, 1, zone="1") for n in range(10, 12)]
    meters += [silent(n, 1, cell="8", zone="2") for n in range(20, 26)]
    found = candidates(meters, 5, 2 * HOUR)
    assert [(group.kind, group.key, len(group.meters)) for group in found] == [
        ("zone", "1", 8), ("cell", "7", 6), ("cell", "8", 6), ("zone", "2", 6),
    ]  # fmt: skip


def test_only_the_hours_in_which_most_fell_silent():
    meters = [silent(n, n, cell="7") for n in range(5)] + [silent(n, 30 + n / 100, cell="7") for n in range(10, 16)]
    (group,) = candidates(meters, 5, 2 * HOUR)
    assert group.meters == frozenset(range(10, 16))
    assert group.to_s - group.from_s == 180
    assert candidates(meters[:5], 5, 2 * HOUR) == []


@pytest.mark.parametrize(("count", "of", "event"), [(8, 10, True), (7, 10, False), (4, 4, False), (5, 5, True)])
def test_most_of_a_group(count, of, event):
    assert is_outage(count, of, 5, 0.8) is event


@pytest.fixture
async def pool(database_url):
    pool = await asyncpg.create_pool(database_url, min_size=1, max_size=1)
    yield pool
    await pool.close()


async def add(pool, number, cell, heard_h, zone_id=None, door="coap", source="10.0.0.1:5683"):
    at = datetime.now(UTC) - timedelta(hours=heard_h, seconds=number)
    report = uuid.uuid4()
    meter = await pool.fetchval("INSERT INTO meters (serial) VALUES ($1) RETURNING meter_id", f"M{number:03d}")
    point = await pool.fetchval("INSERT INTO service_points (zone_id) VALUES ($1) RETURNING service_point_id", zone_id)
    device = await pool.fetchval("INSERT INTO devices (device) VALUES ($1) RETURNING device_id", f"D{number}")
    await pool.execute(
        "INSERT INTO installations (service_point_id, meter_id, device_id, valid_from) "
        "VALUES ($1, $2, $3, '2020-01-01Z')",
        point, meter, device,
    )  # fmt: skip
    await pool.execute(
        "INSERT INTO device_latest (device_id, meter_id, last_report_at, last_report_id, cell_id) "
        "VALUES ($1, $2, $3, $4, $5)",
        device, meter, at, report, cell,
    )  # fmt: skip
    await pool.execute(
        "INSERT INTO reports (received_at, report_id, device, meter_id, door, authentication, source, content_format, "
        "payload_bytes, outcome, identity) VALUES ($1, $2, 'd', $3, $4, 'pusher', $5, 1, 1, 'stored', 1)",
        at, report, meter, door, source,
    )  # fmt: skip
    return device


async def check(pool):
    await SilenceStage(pool, SettlementSettings(), SETTINGS).check(now_us())
    return await pool.fetch("SELECT * FROM alerts WHERE ended_at IS NULL ORDER BY kind, alert_id")


async def test_a_cell_that_fails_is_one_event_until_it_is_back(pool):
    devices = [await add(pool, number, 7, 30) for number in range(9)]
    await add(pool, 20, 8, 60)
    for number in range(30, 45):
        await add(pool, number, 9, 1)
    await add(pool, 50, 7, 1)  # one of the cell is still heard
    event, single = await check(pool)
    assert (event["kind"], single["kind"], event["meter_id"]) == ("outage:cell", "silent", None)
    evidence = json.loads(event["evidence"])
    assert (evidence["key"], evidence["silent"], evidence["meters"]) == ("7", 9, 10)
    assert evidence["sample"][0] == "M000"
    assert await pool.fetchval("SELECT count(*) FROM alert_meters") == 9
    assert len(await check(pool)) == 2
    await pool.execute("UPDATE device_latest SET last_report_at = now() WHERE device_id = ANY ($1)", devices[:7])
    assert [row["meter_id"] for row in await check(pool)] == [single["meter_id"]]
    ended = (
        "UPDATE alerts SET ended_at = ended_at - INTERVAL '1 hour' * $1, state = 'resolved' WHERE kind LIKE 'outage%'"
    )
    await pool.execute(ended, 20)
    assert len(await check(pool)) == 1, "the other two may report once a day"
    await pool.execute(ended, 6)
    left = await check(pool)
    assert [row["kind"] for row in left] == ["silent"] * 3  # the two that stay silent are told one by one


async def test_a_pushing_platform_that_fails_is_one_event(pool):
    zone = await pool.fetchval("INSERT INTO zones (code, name) VALUES ('Z', 'Zone') RETURNING zone_id")
    for number in range(8):
        await add(pool, number, number, 30, zone, "ctwing", "east 203.0.113.9")
    for number in range(10, 16):
        await add(pool, number, 100 + number, 1, zone)
    (event,) = await check(pool)
    assert (event["kind"], json.loads(event["evidence"])["key"]) == ("outage:door", "ctwing east")


async def test_a_zone_by_its_name(pool):
    zone = await pool.fetchval("INSERT INTO zones (code, name) VALUES ('Z', 'Zone') RETURNING zone_id")
    for number in range(6):
        await add(pool, number, number, 30, zone)
    for number in range(10, 20):
        await add(pool, number, 100 + number, 1)
    (event,) = await check(pool)
    assert (event["kind"], json.loads(event["evidence"])["key"]) == ("outage:zone", "Z Zone")


async def test_half_of_a_cell_is_no_event(pool):
    for number in range(12):
        await add(pool, number, 7, 30 if number % 2 else 1)
    assert [row["kind"] for row in await check(pool)] == ["silent"] * 6


async def test_what_was_long_silent_is_not_part_of_it(pool):
    async with pool.acquire() as connection:
        assert await raise_outages(connection, [(n, 0) for n in range(9)], 10**9, SETTINGS) == 0
