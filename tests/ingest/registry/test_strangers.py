"""The table of unknown devices stays bounded, and keeps those that matter."""

from __future__ import annotations

from collections.abc import AsyncIterator

import asyncpg
import pytest

from ingest.registry.strangers import NEW_AT_ONCE, NEW_PER_S, StrangerTable
from metering.model import Door
from metering.strangers import Knock


@pytest.fixture
async def connection(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(database_url)
    await connection.execute("SET ROLE nbwater_ingest")
    yield connection
    await connection.execute("RESET ROLE")
    await connection.close()


def knocks(*names: str, times: int = 1) -> list[Knock]:
    return [Knock(name, Door.COAP, "10.0.0.1", "unknown_device", times) for name in names]


async def names(connection: asyncpg.Connection) -> list[str]:
    return [row["name"] for row in await connection.fetch("SELECT name FROM strangers ORDER BY name")]


async def test_knocks_add_up(connection: asyncpg.Connection) -> None:
    table = StrangerTable()
    await table.take(connection, knocks("861", times=3))
    later = Knock("861", Door.MQTT, "10.0.0.2", "unknown_user", 2)
    await table.take(connection, [later, *knocks("862")])
    row = await connection.fetchrow("SELECT * FROM strangers WHERE name = '861'")
    assert (row["door"], row["source"], row["reason"], row["knocks"]) == ("mqtt", "10.0.0.2", "unknown_user", 5)
    assert row["last_at"] > row["first_at"]


async def test_beyond_the_bound_the_least_interesting_go(connection: asyncpg.Connection) -> None:
    table = StrangerTable(limit=4)
    await table.take(connection, knocks("dismissed", "often", times=5))
    await connection.execute("UPDATE strangers SET dismissed_at = now() WHERE name = 'dismissed'")
    await table.take(connection, knocks("once, earlier"))
    await table.take(connection, knocks("once, later", "new 1"))
    assert await names(connection) == ["new 1", "often", "once, earlier", "once, later"]
    await table.take(connection, knocks("new 2", times=2))
    assert await names(connection) == ["new 1", "new 2", "often", "once, later"]


async def test_names_that_somebody_invents_come_in_at_a_rate(connection: asyncpg.Connection) -> None:
    now = 0.0
    table = StrangerTable(clock=lambda: now)
    for start in range(0, 2 * int(NEW_AT_ONCE), 500):
        await table.take(connection, knocks(*(f"invented {n}" for n in range(start, start + 500))))
    assert len(await names(connection)) == NEW_AT_ONCE
    await table.take(connection, knocks("invented 0", times=7))  # who is known needs no room
    assert await connection.fetchval("SELECT knocks FROM strangers WHERE name = 'invented 0'") == 8
    now = 2.0
    await table.take(connection, knocks(*(f"later {n}" for n in range(500))))
    assert len(await names(connection)) == NEW_AT_ONCE + 2 * NEW_PER_S


async def test_who_is_known_by_now_is_no_stranger(connection: asyncpg.Connection) -> None:
    table = StrangerTable()
    await table.take(connection, knocks("861234567890123", "1001", "nobody"))
    await connection.execute("RESET ROLE")
    await connection.execute(
        "WITH p AS (INSERT INTO service_points DEFAULT VALUES RETURNING service_point_id),"
        " m AS (INSERT INTO meters (serial) VALUES ('1001') RETURNING meter_id),"
        " d AS (INSERT INTO devices (device, imei) VALUES ('861234567890123', '861234567890123') RETURNING device_id)"
        " INSERT INTO installations (service_point_id, meter_id, device_id, valid_from)"
        " SELECT service_point_id, meter_id, device_id, now() FROM p, m, d"
    )
    await connection.execute("SET ROLE nbwater_ingest")
    await table.forget_known(connection)
    assert await names(connection) == ["nobody"]
