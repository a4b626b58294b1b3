"""When a silent meter's next report was due, and with whom it shares what."""

from __future__ import annotations

from collections.abc import AsyncIterator

import asyncpg
import pytest

from ingest.leaks.outage_groups import Group
from ingest.leaks.outage_rows import heard_of, reported_within, silent_meters
from metering.settings import OutageSettings

from .played import T0, Played

HOUR = 3_600
AFTER_S = 25.0 * HOUR


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[asyncpg.Pool]:
    pool = await asyncpg.create_pool(database_url, min_size=1, max_size=1)
    yield pool
    await pool.close()


@pytest.mark.parametrize(
    ("period_h", "hours", "usual_h"),
    [(24, 72, 24), (1, 72, 1), (24, 24, 0), (48, 96, 25)],
    ids=["daily", "hourly", "one report only", "rarer than silence allows"],
)
async def test_by_its_own_rhythm(pool: asyncpg.Pool, period_h: float, hours: float, usual_h: float) -> None:
    city = Played(pool, OutageSettings())
    (meter,) = await city.add(1, cell=7, door="ctwing", source="east 203.0.113.9", period_h=period_h)
    await city.play(hours, step_h=hours, look=False)
    (found,) = await silent_meters(pool, [meter], AFTER_S)
    assert (found.due_at_s - found.heard_at_s) / HOUR == usual_h
    assert found.shares == {"cell": "7", "door": "ctwing east", "platform": "all"}


async def test_reports_that_waited_for_an_outage_to_end_do_not_make_the_rhythm(pool: asyncpg.Pool) -> None:
    """They come together; five days are more than three pauses of a second."""
    city = Played(pool, OutageSettings())
    (meter,) = await city.add(1, first_h=1)
    await city.play(5 * 24, step_h=5 * 24, look=False)
    for seconds in range(3):
        await pool.execute(
            "INSERT INTO reports (received_at, report_id, device, device_id, meter_id, door, authentication, source,"
            " content_format, payload_bytes, outcome, identity) SELECT received_at + $1 * INTERVAL '1 second',"
            " gen_random_uuid(), device, device_id, meter_id, door, authentication, source, 1, 1, 'stored', 1"
            " FROM reports ORDER BY received_at LIMIT 1",
            seconds + 1,
        )
    (found,) = await silent_meters(pool, [meter], AFTER_S)
    assert found.due_at_s - found.heard_at_s >= 23 * HOUR


@pytest.mark.parametrize(("kind", "key"), [("cell", "7"), ("door", "coap"), ("platform", "all"), ("zone", None)])
async def test_who_of_a_group_was_heard(pool: asyncpg.Pool, kind: str, key: str | None) -> None:
    zone = await pool.fetchval("INSERT INTO zones (code, name) VALUES ('Z', 'Zone') RETURNING zone_id")
    city = Played(pool, OutageSettings())
    await city.add(24, cell=7, zone=zone)
    await city.add(24, cell=7, zone=zone, period_h=1)
    await city.play(48, step_h=24, look=False)
    start_s = int(T0.timestamp())
    group = Group(kind, key or str(zone), (), 400, start_s + 30 * HOUR - 1, start_s + 34 * HOUR)
    (heard,) = await heard_of(pool, [group], T0, 0.8)
    assert (heard.since, heard.within, heard.before_s) == (18 + 24, 5, start_s + 29 * HOUR)
    assert await reported_within(pool, [group], T0, 0.8) == [5 + 24]
