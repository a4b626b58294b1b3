"""The sum check when days are settled: what a meter froze itself beside what its readings say of that midnight."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import asyncpg
import numpy as np
import pytest

from ingest.meters import Meters
from ingest.settlement.days import Days
from ingest.settlement.frozen import compared
from ingest.settlement.stage import SettlementStage
from metering.consumption import Rules
from metering.settings import SettlementSettings

ZONE = ZoneInfo("Asia/Shanghai")
T0 = datetime(2026, 3, 30, tzinfo=ZONE)
LITRE = 1_000


@pytest.fixture
async def connection(any_database_url: str) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(any_database_url)
    yield connection
    await connection.close()


async def store(connection: Any, *readings: tuple[int, int, int]) -> None:
    """Of meter 1: hours since T0, kind, litres."""
    rows = [(T0 + timedelta(hours=hours), kind, litres * LITRE) for hours, kind, litres in readings]
    await connection.executemany("INSERT INTO readings VALUES (1, $1, $2, $3)", rows)
    await connection.execute(
        "INSERT INTO touched_spans (meter_id, from_ts, to_ts) VALUES (1, $1, $2)",
        min(row[0] for row in rows), max(row[0] for row in rows),
    )  # fmt: skip


async def reasons(connection: Any, settlement_day: int = 1) -> dict[int, list[str]]:
    """By day of the month, after settling; doing it twice changes nothing."""
    stage = SettlementStage(connection, SettlementSettings(), ZONE, Rules(settlement_day=settlement_day))
    for _ in range(2):
        await connection.execute(
            "INSERT INTO touched_spans (meter_id, from_ts, to_ts) SELECT 1, min(ts), max(ts) FROM readings"
        )
        while await stage.settle_batch():
            pass
    rows = await connection.fetch("SELECT day, consumption_ml, reasons FROM settled_days ORDER BY day")
    return {row["day"].day: [str(row["consumption_ml"] // LITRE), *row["reasons"]] for row in rows}


async def say_frozen(connection: Any, litres: int, received: datetime) -> None:
    await connection.execute(
        "INSERT INTO reports (received_at, report_id, device, meter_id, door, authentication, source, content_format, "
        "payload_bytes, outcome, identity, extra) VALUES ($1, gen_random_uuid(), '1', 1, 'coap', 'claimed', '', 42, 1, "
        "'stored', 0, jsonb_build_object('settlement_index_ml', $2::bigint))",
        received, litres * LITRE,
    )  # fmt: skip


async def test_the_index_of_the_settlement_day_is_compared_with_that_midnight(connection: Any) -> None:
    await connection.execute("INSERT INTO meters (serial) VALUES ('S1')")
    await store(connection, *((hour, 0, 1_000 + hour) for hour in range(72)))
    first_of_april = datetime(2026, 4, 1, tzinfo=ZONE).astimezone(UTC)
    await say_frozen(connection, 1_000, first_of_april - timedelta(hours=1))  # of the month before
    assert await reasons(connection) == {30: ["24"], 31: ["24"], 1: ["23"]}
    await say_frozen(connection, 1_049, first_of_april + timedelta(hours=2))  # one count
    assert await reasons(connection) == {30: ["24"], 31: ["24"], 1: ["23"]}
    await say_frozen(connection, 1_055, first_of_april + timedelta(hours=26))
    assert await reasons(connection, settlement_day=0) == {30: ["24"], 31: ["24"], 1: ["23"]}
    assert await reasons(connection) == {30: ["24"], 31: ["24", "sum_mismatch"], 1: ["23"]}


async def test_what_is_no_index_stops_nothing(connection: Any) -> None:
    """A decoder of a utility's own may put anything there."""
    await connection.execute("INSERT INTO meters (serial) VALUES ('S1')")
    await store(connection, *((hour, 0, 1_000 + hour) for hour in range(72)))
    first_of_april = datetime(2026, 4, 1, tzinfo=ZONE).astimezone(UTC)
    await say_frozen(connection, 1_055, first_of_april + timedelta(hours=2))
    for said in ('"x"', "1.5", "true", "1e300", "-1", "null", '"12345678901234567890"'):
        await connection.execute(
            "UPDATE reports SET extra = jsonb_build_object('settlement_index_ml', $1::jsonb)", said
        )
        assert await reasons(connection) == {30: ["24"], 31: ["24"], 1: ["23"]}


async def test_without_a_settlement_day_nothing_is_asked() -> None:
    one = np.ones(1, np.int64)
    days = Days(one, one, one, one, one, one, one, one > 0, one)
    assert await compared(None, days, Meters(one, one, one, one, one), ZONE, 0) is days


async def test_a_freeze_that_differs_from_the_hours_reading_marks_both_days(connection: Any) -> None:
    await connection.execute("INSERT INTO meters (serial) VALUES ('S1')")
    await store(connection, *((hour, 0, 1_000 + hour) for hour in range(72)), (24, 1, 1_025), (48, 1, 1_050))
    assert await reasons(connection) == {30: ["24"], 31: ["24", "sum_mismatch"], 1: ["23", "sum_mismatch"]}
    assert await connection.fetchval("SELECT array_agg(quality) FROM settled_days") == ["measured"] * 3
