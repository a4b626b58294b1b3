"""Old rows go by our own hand on plain PostgreSQL, and by TimescaleDB's policies where it keeps the tables."""

from __future__ import annotations

from typing import Any

from ingest.settlement.retention import KEEP_REPORTS_DAYS, RetentionStage
from tests.integration.ingest_town import open_pool

KEEP_RAW_DAYS = 400
_RAW = "INSERT INTO raw_reports VALUES (now() - make_interval(days => $1), gen_random_uuid(), 'x')"
_REPORT = """
    INSERT INTO reports (received_at, report_id, device, door, authentication, source, content_format, payload_bytes,
                         outcome, identity)
    VALUES (now() - make_interval(days => $1), gen_random_uuid(), '1', 'coap', 'claimed', '', 60, 1, 'stored', 0)
"""


async def fill(pool: Any) -> None:
    for days in (0, KEEP_RAW_DAYS - 1, KEEP_RAW_DAYS + 1, KEEP_REPORTS_DAYS + 1):
        await pool.execute(_RAW, days)
        await pool.execute(_REPORT, days)


async def left(pool: Any) -> tuple[int, int]:
    row = await pool.fetchrow("SELECT (SELECT count(*) FROM raw_reports), (SELECT count(*) FROM reports)")
    return tuple(row)


async def test_what_is_too_old_is_deleted(database_url: str) -> None:
    async with open_pool(database_url) as pool:
        await fill(pool)
        assert await RetentionStage(pool, KEEP_RAW_DAYS).forget() == 3
        assert await left(pool) == (2, 3)


async def test_a_clock_of_the_database_that_is_years_ahead_makes_nothing_look_old(database_url: str) -> None:
    """As seen from the rows: the newest of all is five years old."""
    async with open_pool(database_url) as pool:
        await pool.execute(_RAW, 5 * 365)
        await pool.execute(_REPORT, 5 * 365)
        assert await RetentionStage(pool, KEEP_RAW_DAYS).forget() == 0
        assert await left(pool) == (1, 1)


async def test_timescaledb_is_left_to_its_policies(timescale_url: str) -> None:
    async with open_pool(timescale_url) as pool:
        await fill(pool)
        assert await RetentionStage(pool, KEEP_RAW_DAYS).forget() == 0
        assert await left(pool) == (4, 4)
