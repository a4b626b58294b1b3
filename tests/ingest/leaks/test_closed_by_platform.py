"""Which alerts the platform closes itself, and which it leaves to people."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest

from ingest.leaks.closed_by_platform import close_of_bulk_meters, take_over

FIRST = datetime(2026, 3, 1, tzinfo=UTC)
_ALERT = """
INSERT INTO alerts (kind, severity, meter_id, state, started_at, raised_at, last_seen_at, ended_at, evidence)
VALUES ($1, 'warning', $2, $3, $4, $5, $5, $6, '{}')"""


def at(day: int) -> datetime:
    return FIRST + timedelta(days=day)


@pytest.fixture
async def connection(database_url: str) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


async def taken(
    connection: Any, state: str = "open", over: datetime | None = None, leak: str = "open", leak_over: bool = False
) -> Any:  # fmt: skip
    """A flow since day 0, a leak since day 2; what the flow's alert is afterwards."""
    meter_id = await connection.fetchval("INSERT INTO meters (serial) VALUES ('1') RETURNING meter_id")
    await connection.execute(_ALERT, "continuous_flow", meter_id, state, at(0), at(1), over)
    await connection.execute(_ALERT, "leak", meter_id, leak, at(2), at(4), at(5) if leak_over else None)
    await take_over(connection, [meter_id])
    return await connection.fetchrow("SELECT state, ended_at, closed_at FROM alerts WHERE kind = 'continuous_flow'")


async def moves(connection: Any) -> list[tuple[Any, ...]]:
    return [
        tuple(row) for row in await connection.fetch("SELECT at, from_state, to_state, actor, reason FROM alert_events")
    ]


async def test_an_open_one_is_closed_when_the_leak_was_raised(connection: Any) -> None:
    assert tuple(await taken(connection)) == ("resolved", at(4), at(4))
    assert await moves(connection) == [(at(4), "open", "resolved", "platform", "leak")]


async def test_one_that_somebody_acknowledged_stays_with_that_person_as_over(connection: Any) -> None:
    assert tuple(await taken(connection, state="acknowledged")) == ("acknowledged", at(4), None)
    assert await moves(connection) == []


async def test_one_that_rested_after_the_leak_had_begun_is_the_same_leak(connection: Any) -> None:
    assert tuple(await taken(connection, over=at(3))) == ("resolved", at(3), at(4))


@pytest.mark.parametrize(
    "how",
    [{"over": at(2)}, {"leak": "dismissed"}, {"leak": "resolved"}, {"leak_over": True}, {"state": "dismissed"}],
    ids=str,
)
async def test_it_is_left_alone(connection: Any, how: dict[str, Any]) -> None:
    """Over before the leak began; no leak that stands; or a person said it is none."""
    before = (how.get("state", "open"), how.get("over"), None)
    assert tuple(await taken(connection, **how)) == before
    assert await moves(connection) == []


async def test_what_was_raised_of_a_meter_before_it_was_a_districts_is_closed(connection: Any) -> None:
    meter_id, other = await connection.fetch("INSERT INTO meters (serial) VALUES ('1'), ('2') RETURNING meter_id")
    rows = [
        ("continuous_flow", meter_id[0], "open", None),
        ("leak", meter_id[0], "acknowledged", None),
        ("burst", meter_id[0], "open", at(3)),
        ("reverse_flow", meter_id[0], "open", None),
        ("leak", other[0], "open", None),
    ]
    for kind, meter, state, over in rows:
        await connection.execute(_ALERT, kind, meter, state, at(0), at(2), over)
    await close_of_bulk_meters(connection, [meter_id[0]])
    now = await connection.fetch("SELECT state, closed_at FROM alerts ORDER BY alert_id")
    assert [tuple(row) for row in now] == [
        ("resolved", at(2)), ("acknowledged", None), ("resolved", at(3)), ("open", None), ("open", None)
    ]  # fmt: skip
    assert {move[1:] for move in await moves(connection)} == {("open", "resolved", "platform", "bulk_meter")}
