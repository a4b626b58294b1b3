"""When meters report, out of the reports of some days."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import asyncpg

from api.queries.habits import measured_habits
from tests.api.conftest import NOW, Seed


async def test_daily_meters_are_told_from_frequent_ones(seeded: Seed, database_url: str) -> None:
    connection: Any = await asyncpg.connect(database_url)
    for day in range(3):  # the seeded first meter reports five times an hour
        await connection.execute(
            "INSERT INTO reports (received_at, report_id, device, meter_id, door, authentication, source,"
            " content_format, payload_bytes, outcome, identity, readings, readings_stored)"
            " SELECT $1, gen_random_uuid(), 'd', $2, 'coap', 'claimed', 's', 60, 3, 'stored', 0, 24, 24",
            NOW - timedelta(days=day, seconds=30),
            seeded.meter_ids[1],
        )
    habits = await measured_habits(connection, NOW - timedelta(days=3), NOW + timedelta(seconds=1))
    assert [(habit.serial, habit.second) for habit in habits.daily][-1:] == [("210000000002", 4 * 3600 - 30)]
    assert max(habits.minutes) >= 1
    await connection.execute(
        "INSERT INTO commands (command_id, device_id, kind, arguments, state, filed_by, expires_at)"
        " SELECT 1, device_id, 3, '{}', 'queued', 'wang', now() FROM installations WHERE meter_id = $1",
        seeded.meter_ids[1],
    )
    again = await measured_habits(connection, NOW - timedelta(days=3), NOW + timedelta(seconds=1))
    assert (again.planned, "210000000002" in {habit.serial for habit in again.daily}) == (1, False)
    await connection.close()
