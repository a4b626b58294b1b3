"""Settled days against the readings of a real database: equal days pass, each planted fault is found."""

from datetime import UTC, date, datetime, timedelta

import asyncpg
import pytest

from simulators.chaos.settled import compare_days

ZONE = "Asia/Shanghai"
MIDNIGHT = datetime(2026, 3, 1, 16, tzinfo=UTC)
"""Of 2 March there."""
ML_PER_DAY = 24_000


@pytest.fixture
async def database(database_url):
    """Three days of 1 l an hour, settled."""
    connection = await asyncpg.connect(database_url)
    await connection.execute("INSERT INTO meters (serial) VALUES ('900000000001')")
    for hour in range(73):
        await connection.execute(
            "INSERT INTO readings SELECT meter_id, $1, 0, $2 FROM meters",
            MIDNIGHT + timedelta(hours=hour), 1000 * hour,
        )  # fmt: skip
    for day in range(4):
        start, end = day * ML_PER_DAY, min(72_000, (day + 1) * ML_PER_DAY)
        await put_day(connection, date(2026, 3, 2) + timedelta(days=day), start, end, complete=day < 3)
    yield connection
    await connection.close()


async def put_day(connection, day, start, end, complete=True):
    await connection.execute(
        """INSERT INTO settled_days (meter_id, day, start_index_ml, end_index_ml, consumption_ml, quality, complete,
                                     readings)
           SELECT meter_id, $1, $2::bigint, $3::bigint, $3::bigint - $2::bigint, 'measured', $4, 24 FROM meters""",
        day, start, end, complete,
    )  # fmt: skip


async def test_days_that_are_right_pass(database):
    found = await compare_days(database, ZONE)
    assert (found.days, found.ok, found.examples) == (4, True, [])


async def test_a_day_that_was_not_settled_is_missing(database):
    await database.execute("DELETE FROM settled_days WHERE day = '2026-03-03'")
    found = await compare_days(database, ZONE)
    assert (found.missing, found.wrong, found.torn) == (1, 0, 0)


async def test_a_day_settled_from_older_readings_is_wrong_and_torn(database):
    await database.execute(
        "UPDATE settled_days SET end_index_ml = end_index_ml - 1, consumption_ml = consumption_ml - 1 "
        "WHERE day = '2026-03-03'"
    )
    found = await compare_days(database, ZONE)
    assert (found.wrong, found.torn) == (1, 1)
    assert found.examples


async def test_parts_that_do_not_sum_up_are_torn(database):
    await database.execute("UPDATE settled_days SET excluded_ml = 5 WHERE day = '2026-03-04'")
    found = await compare_days(database, ZONE)
    assert (found.wrong, found.torn) == (1, 1)


async def test_a_day_without_any_reading_is_wrong(database):
    await put_day(database, date(2027, 1, 1), 0, 0)
    assert (await compare_days(database, ZONE)).wrong == 1
