from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta

import asyncpg

from api.database import ReadPool
from api.queries.push_gaps import list_missed_meters, list_push_gaps

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)
DAY, MINUTE = timedelta(days=1), timedelta(minutes=1)
METERS = 60
PAUSE = (NOW - 40 * MINUTE, NOW - 10 * MINUTE)


async def seed(url: str) -> None:
    """Each minute of an hour another meter reports by product east, on three days; today half an hour is missing. West
    reports once a day."""
    connection = await asyncpg.connect(url)
    point = await connection.fetchval("INSERT INTO service_points DEFAULT VALUES RETURNING service_point_id")
    rows, raw = [], []
    for number in range(METERS):
        meter = await connection.fetchval(
            "INSERT INTO meters (serial) VALUES ($1) RETURNING meter_id", f"2200000000{number:02d}"
        )
        device = await connection.fetchval(
            "INSERT INTO devices (device) VALUES ($1) RETURNING device_id", f"86123456789{number:04d}"
        )
        await connection.execute(
            "INSERT INTO installations (service_point_id, meter_id, device_id, valid_from) VALUES ($1, $2, $3, $4)",
            point, meter, device, NOW - 30 * DAY,
        )  # fmt: skip
        for days in range(4):
            at = NOW - days * DAY - number * MINUTE
            if days or not PAUSE[0] < at < PAUSE[1]:
                rows.append((at, uuid.uuid4(), f"86123456789{number:04d}", device, meter, "east 10.0.0.1"))
                raw.append((at, rows[-1][1], b'{"IMEI":"%d"}' % number))
    rows += [(NOW - days * DAY, uuid.uuid4(), "x", None, None, "west 10.0.0.1") for days in (1, 2, 3)]
    await connection.executemany(
        "INSERT INTO reports (received_at, report_id, device, device_id, meter_id, door, authentication, source, "
        "content_format, payload_bytes, outcome, identity) "
        "VALUES ($1, $2, $3, $4, $5, 'ctwing', 'pusher', $6, 65110, 10, 'stored', 0)",
        rows,
    )
    await connection.executemany("INSERT INTO raw_reports VALUES ($1, $2, $3)", raw)
    await connection.close()


async def test_a_pause_is_a_gap_where_pushes_were_usual(read: ReadPool, database_url: str) -> None:
    await seed(database_url)
    (gap,) = await list_push_gaps(read, NOW - DAY / 2, NOW)
    assert (gap.product, gap.since, gap.until, gap.lasts) == ("east", *PAUSE, False)
    assert gap.missing == 29
    later = await list_push_gaps(read, NOW - DAY / 2, NOW + 23.5 * 60 * MINUTE)
    assert [(gap.lasts, gap.missing) for gap in later if gap.since == NOW] == [(True, 26)]  # (29 + 29 + 20) / 3


async def test_the_meters_that_are_missed_are_those_of_these_hours(read: ReadPool, database_url: str) -> None:
    await seed(database_url)
    missed = await list_missed_meters(read, "east", *PAUSE)
    assert [int(meter.serial[-2:]) for meter in missed] == list(range(11, 40))
    assert missed[0].payload == b'{"IMEI":"11"}'
    assert await list_missed_meters(read, "west", *PAUSE) == []
