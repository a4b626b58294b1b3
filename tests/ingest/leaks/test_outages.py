"""One outage is one event, whatever the rhythm of its meters; single meters stay single alerts."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import asyncpg
import pytest

from ingest.leaks.outages import MAX_SAMPLE, RECENT_S
from metering.settings import OutageSettings

from .played import Played

OUTAGE = OutageSettings()


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[asyncpg.Pool]:
    pool = await asyncpg.create_pool(database_url, min_size=1, max_size=1)
    yield pool
    await pool.close()


@pytest.fixture
async def city(pool: asyncpg.Pool) -> Played:
    return Played(pool, OUTAGE)


async def test_a_cell_of_meters_that_report_once_a_day(city: Played, pool: asyncpg.Pool) -> None:
    """Out for three days: one alert with its 2,000 meters; recovery ends it, and who stays away is told alone."""
    out = await city.add(2_000, cell=7)
    await city.add(500, cell=8)
    await city.play(72, step_h=24, look=False)
    await city.play(24, step_h=8)
    assert await city.active() == []
    await city.play(4, dead=out)
    (early,) = await city.active()
    assert early["kind"] == "outage:cell"
    assert city.since(early["started_at"]) == pytest.approx(96, abs=0.5)
    await city.play(68, dead=out, step_h=2)
    (event,) = await city.active()
    evidence = json.loads(event["evidence"])
    assert (event["alert_id"], event["members"]) == (early["alert_id"], 2_000)
    assert (evidence["key"], evidence["silent"], len(evidence["sample"])) == ("7", 2_000, MAX_SAMPLE)
    left = sorted(out)[::100]
    await city.play(24, dead=set(left))
    assert await city.active() == []
    await city.play(24, dead=set(left))
    assert sorted(row["meter_id"] for row in await city.active()) == left
    assert {row["kind"] for row in await city.active()} == {"silent"}
    assert len(await city.all("outage:cell")) == 1
    assert len(await city.all("silent")) == 20
    await city.play(24)
    assert await city.active() == []


async def test_alerts_of_a_small_cell_are_merged_into_its_event(city: Played, pool: asyncpg.Pool) -> None:
    """Of 48 meters two are due in an hour: the first are told alone, until twenty are missing. One that a person has
    taken stays with that person, and so does one that was silent before."""
    out = await city.add(48, cell=7)
    await city.add(100, cell=8)
    await city.play(72, step_h=24, look=False)
    before = {max(out)}
    await city.play(26, dead=before)
    (old,) = await city.active()
    await city.play(6, dead=out)
    singles = await city.active()
    assert {row["kind"] for row in singles} == {"silent"}
    taken = singles[-1]["alert_id"]
    await pool.execute("UPDATE alerts SET state = 'acknowledged' WHERE alert_id = $1", taken)
    await city.play(20, dead=out)
    event, *rest = await city.active()
    assert (event["kind"], event["members"]) == ("outage:cell", 46)
    assert [row["alert_id"] for row in rest] == [old["alert_id"], taken]
    merged = [row for row in await city.all("silent") if row["state"] == "resolved"]
    assert {json.loads(row["evidence"])["outage"] for row in merged} == {event["alert_id"]}
    assert await pool.fetchval(
        "SELECT count(*) FROM alert_events WHERE to_state = 'resolved' AND actor = 'platform' AND reason = 'outage'"
    ) == len(merged)
    await city.play(10)
    assert await city.active() != []
    await city.play(16, dead={min(out)})
    await city.play(30, dead={min(out)})
    assert [(row["kind"], row["meter_id"]) for row in await city.active()] == [("silent", min(out))]


async def test_a_pushing_platform(city: Played, pool: asyncpg.Pool) -> None:
    zone = await pool.fetchval("INSERT INTO zones (code, name) VALUES ('Z', 'Zone') RETURNING zone_id")
    out = await city.add(300, zone=zone, door="ctwing", source="east 203.0.113.9")
    await city.add(300, zone=zone, door="ctwing", source="west 203.0.113.9")
    await city.add(300, zone=zone)
    await city.play(72, step_h=24, look=False)
    await city.play(30, dead=out)
    (event,) = await city.active()
    assert (event["kind"], json.loads(event["evidence"])["key"]) == ("outage:door", "ctwing east")
    assert event["members"] == 300


async def test_a_door_whose_sources_name_the_device(city: Played) -> None:
    """DTLS: an address of its own and an identity for each."""
    out = set().union(*[await city.add(1, door="dtls", source=f"10.0.0.1:{n} as {n}") for n in range(30)])
    await city.add(500)
    await city.play(72, step_h=24, look=False)
    await city.play(30, dead=out)
    (event,) = await city.active()
    assert (event["kind"], json.loads(event["evidence"])["key"], event["members"]) == ("outage:door", "dtls", 30)


async def test_a_zone_by_its_name(city: Played, pool: asyncpg.Pool) -> None:
    zone = await pool.fetchval("INSERT INTO zones (code, name) VALUES ('Z', 'Zone') RETURNING zone_id")
    out = [await city.add(12, cell=cell, zone=zone) for cell in range(20)]
    await city.add(500, cell=30)
    await city.play(72, step_h=24, look=False)
    await city.play(30, dead=set().union(*out))
    (event,) = await city.active()
    assert (event["kind"], json.loads(event["evidence"])["key"]) == ("outage:zone", "Z Zone")


async def test_single_meters_of_a_large_cell_are_no_outage(city: Played) -> None:
    out = sorted(await city.add(1_000, cell=7))
    hourly = await city.add(1_000, cell=7, period_h=1)
    night = sorted(await city.add(1_000, cell=8, first_h=2, spread_h=0.2))
    await city.play(72, step_h=24, look=False)
    two = {out[3], out[4]}
    await city.play(30, dead=two)
    assert {row["meter_id"] for row in await city.active()} == two
    many = two | set(out[5::40]) | set(sorted(hourly)[::40]) | set(night[:25])
    await city.play(30, dead=many)
    assert {row["meter_id"] for row in await city.active()} == many


async def test_half_of_a_cell_is_no_event(city: Played) -> None:
    out = set(sorted(await city.add(100, cell=7))[::2])
    await city.play(72, step_h=24, look=False)
    await city.play(50, dead=out)
    assert {row["meter_id"] for row in await city.active()} == out


async def test_most_of_a_cell_is_one(city: Played) -> None:
    out = await city.add(1_000, cell=7)
    few = set(sorted(out)[::10])
    await city.add(200, cell=8)
    await city.play(72, step_h=24, look=False)
    await city.play(50, dead=out - few)
    assert [(row["kind"], row["members"]) for row in await city.active()] == [("outage:cell", 900)]


async def test_hourly_meters_fall_silent_within_an_hour(city: Played) -> None:
    out = await city.add(200, cell=7, period_h=1)
    await city.add(200, cell=8, period_h=1)
    await city.play(10, step_h=5, look=False)
    await city.play(27, dead=out)
    (event,) = await city.active()
    assert (event["kind"], event["members"]) == ("outage:cell", 200)
    assert city.since(event["started_at"]) == pytest.approx(10, abs=0.1)
    await city.play(2)
    assert await city.active() == []


async def test_an_outage_that_is_over_before_anybody_is_silent(city: Played) -> None:
    """Of an hour: those due in it are called silent when the others are heard again."""
    out = await city.add(2_000, cell=7)
    hourly = await city.add(500, cell=7, period_h=1)
    await city.add(500, cell=8)
    await city.play(78, step_h=6, look=False)
    await city.play(1, dead=out | hourly)
    await city.play(6, step_h=0.25)
    assert await city.active() == []
    assert await city.all("silent") == []
    (event,) = await city.all("outage:cell")
    assert json.loads(event["evidence"])["silent"] == pytest.approx(2_000 / 24, abs=2)
    await city.play(40)
    assert await city.all("silent") == []


@pytest.mark.parametrize("heard_h", [0, 1, 8])
async def test_the_whole_platform_stopped_for_days(city: Played, heard_h: int) -> None:
    """And silence is looked for at once after the start, or when some have reported again."""
    everybody = set()
    for cell in range(10):
        everybody |= await city.add(100, cell=cell, period_h=24 if cell else 1)
    for product in ("east", "west"):
        everybody |= await city.add(100, door="ctwing", source=f"{product} 203.0.113.9")
    await city.play(72, step_h=24, look=False)
    await city.play(120, dead=everybody, step_h=120, look=False)
    if heard_h:
        await city.play(heard_h, look=False)
    await city.look()
    assert [row["kind"] for row in await city.active()] in ([], ["outage:platform"])
    await city.play(50, step_h=0.5)
    assert await city.active() == []
    assert await city.all("silent") == []
    assert len(await city.all("outage:platform")) == 1


async def test_the_platform_hears_nobody(city: Played) -> None:
    everybody = await city.add(600, cell=7) | await city.add(600, door="mqtt")
    await city.play(72, step_h=24, look=False)
    await city.play(48, dead=everybody)
    (event,) = await city.active()
    assert (event["kind"], event["members"]) == ("outage:platform", 1_200)
    assert city.since(event["started_at"]) == pytest.approx(72, abs=0.1)


async def test_a_cell_that_fails_again(city: Played) -> None:
    out = await city.add(1_000, cell=7)
    await city.add(1_000, cell=8)
    await city.play(72, step_h=24, look=False)
    await city.play(6, dead=out)
    await city.play(7)
    await city.play(48, dead=out)
    assert [row["kind"] for row in await city.active()] == ["outage:cell"]
    assert len(await city.all("outage:cell")) == 2
    assert await city.all("silent") == []


async def test_who_resolves_an_event_hears_of_it_again_only_if_it_goes_on(city: Played, pool: asyncpg.Pool) -> None:
    out = await city.add(1_000, cell=7)
    await city.add(500, cell=8)
    await city.play(72, step_h=24, look=False)
    await city.play(30, dead=out)
    await city.play(2)
    await city.resolve("outage:cell")
    await city.play(40)
    assert await city.active() == []
    assert len(await city.all("outage:cell")) == 1
    await city.play(5, dead=out)
    await city.resolve("outage:cell")
    await city.play(5, dead=out)
    assert [row["kind"] for row in await city.active()] == ["outage:cell"]
    assert await city.all("silent") == []


async def test_those_who_stay_away_are_told_alone_however_many(city: Played) -> None:
    """While they were due nobody of the cell was heard: of that they had their time."""
    out = await city.add(1_000, cell=7)
    await city.add(500, cell=8)
    await city.play(72, step_h=24, look=False)
    await city.play(30, dead=out)
    left = set(sorted(out)[::5])
    await city.play(75, dead=left)
    assert {(row["kind"], row["meter_id"]) for row in await city.active()} == {("silent", meter) for meter in left}
    assert len(await city.all("outage:cell")) == 1


async def test_an_outage_resolved_too_soon_is_one_event_again(city: Played) -> None:
    out = await city.add(1_000, cell=7)
    await city.add(500, cell=8)
    await city.play(72, step_h=24, look=False)
    await city.play(30, dead=out)
    await city.resolve("outage:cell")
    await city.play(40, dead=out)
    assert [(row["kind"], row["members"]) for row in await city.active()] == [("outage:cell", 1_000)]
    assert await city.all("silent") == []


async def test_who_was_silent_for_a_week_is_no_part_of_what_happened_now(city: Played) -> None:
    long, out = await city.add(30, cell=7), await city.add(100, cell=7)
    await city.add(500, cell=8)
    await city.play(72, step_h=24, look=False)
    await city.play(RECENT_S / 3_600 + 30, dead=long, step_h=99, look=False)
    await city.play(30, dead=long | out)
    event, *singles = await city.active()
    assert (event["kind"], event["members"]) == ("outage:cell", 100)
    assert {row["meter_id"] for row in singles} == long
