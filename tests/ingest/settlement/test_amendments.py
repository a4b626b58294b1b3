"""Readings that people give and take away, and gaps spread by habit: in any order of arrival the days are those that
all readings and all amendments give at once."""

import random
from datetime import UTC, date, datetime
from itertools import pairwise
from zoneinfo import ZoneInfo

import asyncpg
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ingest.settlement.days import days_of
from ingest.settlement.habits import later_gaps
from ingest.settlement.spans import Spans
from ingest.settlement.stage import SettlementStage
from metering import consumption as c
from metering.settings import SettlementSettings

ZONE = ZoneInfo("Asia/Shanghai")
T0 = int(datetime(2026, 3, 1, tzinfo=ZONE).timestamp())
HOUR_S, DAY_S, LITRE = 3_600, 86_400, 1_000


@pytest.fixture
async def connection(any_database_url):
    connection = await asyncpg.connect(any_database_url)
    yield connection
    await connection.close()


def at(unix_s):
    return datetime.fromtimestamp(unix_s, UTC)


async def add_meter(connection, serial="S1"):
    return await connection.fetchval("INSERT INTO meters (serial) VALUES ($1) RETURNING meter_id", serial)


async def store(connection, meter_id, readings):
    await connection.executemany(
        "INSERT INTO readings VALUES ($1, $2, 0, $3) ON CONFLICT DO NOTHING",
        [(meter_id, at(ts_s), index_ml) for ts_s, index_ml in readings],
    )
    times = [ts_s for ts_s, _ in readings]
    await connection.execute(
        "INSERT INTO touched_spans (meter_id, from_ts, to_ts) VALUES ($1, $2, $3)",
        meter_id, at(min(times)), at(max(times)),
    )  # fmt: skip


async def amend(connection, meter_id, ts_s, index_ml):
    """`index_ml` None: what was sent then does not count."""
    return await connection.fetchval(
        "INSERT INTO amendments (meter_id, ts, index_ml, source, reason, made_by) "
        "VALUES ($1, $2, $3, 'person', 'seen on site', 'li') RETURNING amendment_id",
        meter_id, at(ts_s), index_ml,
    )  # fmt: skip


async def withdraw(connection, amendment_id):
    await connection.execute("UPDATE amendments SET withdrawn_at = now() WHERE amendment_id = $1", amendment_id)


async def settle(connection):
    stage = SettlementStage(connection, SettlementSettings(), ZONE)
    while await stage.settle_batch():
        pass


async def stored_days(connection, meter_id):
    rows = await connection.fetch("SELECT * FROM settled_days WHERE meter_id = $1 ORDER BY day", meter_id)
    return [
        (row["day"], row["start_index_ml"], row["end_index_ml"], row["consumption_ml"], row["quality"],
         list(row["reasons"]), row["complete"])
        for row in rows
    ]  # fmt: skip


def expected_days(readings, amendments):
    """From everything at once; `amendments`: time to index, None for a void."""
    ts_s, index_ml = (np.array(column, np.int64) for column in zip(*readings, strict=True))
    people = sorted(amendments.items())
    laid_over = c.Amendments(
        np.zeros(len(people), np.int64), np.array([ts for ts, _ in people], np.int64),
        np.array([c.VOID if index is None else index for _, index in people], np.int64), np.ones(len(people), np.bool_),
    )  # fmt: skip
    found = c.amended(np.zeros(len(ts_s), np.int64), ts_s, index_ml, laid_over)
    curve = c.filled_alone(found, c.Limits.of(), 6 * HOUR_S, ZONE)
    days = days_of(curve, Spans(np.array([1]), np.array([0]), np.array([2**34])), ZONE)
    return [
        (c.day_of(ZONE, day), start, end, volume, str(c.QUALITIES[quality]), c.reasons(flags), complete)
        for day, start, end, volume, quality, flags, complete in zip(
            *(column.tolist() for column in (days.day, days.start_index_ml, days.end_index_ml, days.consumption_ml,
                                             days.quality, days.flags, days.complete)), strict=True)
    ]  # fmt: skip


def household(hours, holes=(), t0=T0):
    """Hourly readings of somebody who takes 10 L at 07:00, 20 L at 19:00 and 1 L at noon."""
    index, readings = 1_000 * LITRE, []
    for hour in range(hours):
        if not any(low < hour < high for low, high in holes):
            readings.append((t0 + HOUR_S * hour, index))
        index += {7: 10, 12: 1, 19: 20}.get(hour % 24, 0) * LITRE
    return readings


async def test_a_long_gap_follows_the_meters_own_hours(connection):
    meter_id = await add_meter(connection)
    readings = household(24 * 8, [(24 * 5 + 12, 24 * 6 + 12)])
    await store(connection, meter_id, readings)
    await settle(connection)
    days = await stored_days(connection, meter_id)
    assert days == expected_days(readings, {})
    fifth, sixth = days[5], days[6]
    assert (fifth[0], fifth[4], fifth[5]) == (date(2026, 3, 6), "estimated", ["gap", "profile", "long_gap"])
    assert fifth[3] + sixth[3] == 62 * LITRE
    assert 29 * LITRE < fifth[3] < 32 * LITRE  # evenly it would be 10 + 12/24 of 31


async def test_what_a_person_took_away_is_bridged_and_comes_back(connection):
    meter_id = await add_meter(connection)
    readings = household(72)
    readings[30] = (readings[30][0], readings[30][1] + 90 * LITRE)  # too small for the spike rule to be needed
    await store(connection, meter_id, readings)
    await settle(connection)
    before = await stored_days(connection, meter_id)
    amendment = await amend(connection, meter_id, readings[30][0], None)
    await settle(connection)
    after = await stored_days(connection, meter_id)
    assert after == expected_days(readings, {readings[30][0]: None})
    assert (after[1][4], "edited" in after[1][5]) == ("edited", True)
    await withdraw(connection, amendment)
    await settle(connection)
    assert await stored_days(connection, meter_id) == before
    assert await connection.fetchval("SELECT count(*) FROM readings") == 72


async def test_the_only_reading_of_a_day_taken_away_takes_the_day_along(connection):
    meter_id = await add_meter(connection)
    await store(connection, meter_id, household(25))
    await settle(connection)
    assert len(await stored_days(connection, meter_id)) == 2
    amendment = await amend(connection, meter_id, T0 + 24 * HOUR_S, None)
    await settle(connection)
    assert [day[0] for day in await stored_days(connection, meter_id)] == [date(2026, 3, 1)]
    await withdraw(connection, amendment)
    await settle(connection)
    assert len(await stored_days(connection, meter_id)) == 2


async def test_the_start_index_of_a_new_meter_counts_from_its_installation(connection):
    meter_id = await add_meter(connection)
    point = await connection.fetchval("INSERT INTO service_points DEFAULT VALUES RETURNING service_point_id")
    device = await connection.fetchval("INSERT INTO devices (device) VALUES ('861') RETURNING device_id")
    await store(connection, meter_id, [(T0 + 20 * HOUR_S, 7 * LITRE), (T0 + 24 * HOUR_S, 9 * LITRE)])
    await settle(connection)
    assert (await stored_days(connection, meter_id))[0][3] == 2 * LITRE
    await connection.execute(
        "INSERT INTO installations (service_point_id, meter_id, device_id, valid_from, start_index_ml) "
        "VALUES ($1, $2, $3, $4, $5)",
        point, meter_id, device, at(T0 + 18 * HOUR_S), 4 * LITRE,
    )  # fmt: skip
    await settle(connection)
    day = (await stored_days(connection, meter_id))[0]
    assert (day[3], day[4]) == (5 * LITRE, "measured")
    await connection.execute("UPDATE installations SET start_index_ml = 3000")
    await settle(connection)
    assert (await stored_days(connection, meter_id))[0][3] == 6 * LITRE


async def test_later_gaps_are_found_by_their_days(connection):
    meter_id = await add_meter(connection)
    await store(connection, meter_id, household(24 * 8, [(24 * 5 + 12, 24 * 6 + 12)]))
    await settle(connection)
    early = Spans(np.array([meter_id]), np.array([T0]), np.array([T0 + DAY_S]))
    found = await later_gaps(connection, early, ZONE)
    assert found.meter_id.tolist() == [meter_id]
    assert found.from_s[0] == T0 + 5 * DAY_S
    late = Spans(np.array([meter_id]), np.array([T0 + 7 * DAY_S]), np.array([T0 + 8 * DAY_S]))
    assert not len((await later_gaps(connection, late, ZONE)).meter_id)


async def any_order(connection, seed):
    rng = random.Random(seed)
    await connection.execute("TRUNCATE readings, settled_days, touched_spans, alerts, amendments, meters CASCADE")
    holes = [(low, low + rng.choice([3, 9, 30, 60])) for low in rng.sample(range(20, 420), 4)]
    readings = [
        (ts_s, index_ml + rng.choice([0] * 40 + [900_000 * LITRE, -7 * LITRE]))
        for ts_s, index_ml in household(440, holes)
    ]
    times = [ts_s for ts_s, _ in readings]
    given = dict.fromkeys(rng.sample(times, 6))
    given |= {T0 + rng.randrange(440) * HOUR_S + 60: (1_000 + rng.randrange(400)) * LITRE for _ in range(3)}
    meter_id = await add_meter(connection)
    steps = [("store", readings[low : low + 40]) for low in range(0, len(readings), 40)]
    steps += [("amend", item) for item in given.items()]
    rng.shuffle(steps)
    for kind, what in steps:
        if kind == "store":
            await store(connection, meter_id, what)
        else:
            await amend(connection, meter_id, *what)
        if rng.random() < 0.5:
            await settle(connection)
    await settle(connection)
    found = await stored_days(connection, meter_id)
    assert found == expected_days(readings, given)
    assert all(earlier[2] == later[1] for earlier, later in pairwise(found))
    await connection.execute(
        "INSERT INTO touched_spans (meter_id, from_ts, to_ts) VALUES ($1, $2, $3)",
        meter_id, at(times[3]), at(times[-5]),
    )  # fmt: skip
    versions = await connection.fetch("SELECT xmin, day FROM settled_days ORDER BY day")
    await settle(connection)
    assert await connection.fetch("SELECT xmin, day FROM settled_days ORDER BY day") == versions


@pytest.mark.parametrize("seed", range(3))
async def test_any_order_on_both_databases(connection, seed):
    await any_order(connection, seed)


@given(st.integers(100, 10**9))
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_any_order_gives_the_same_days(database_url, seed):
    connection = await asyncpg.connect(database_url)
    try:
        await any_order(connection, seed)
    finally:
        await connection.close()
