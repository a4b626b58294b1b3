"""Bindings of devices to push products, set by set."""

from __future__ import annotations

from collections.abc import AsyncIterator

import asyncpg
import pytest

from deploy.push_bindings import bind_all_of, bind_devices, checked_product, unbind_devices
from ingest.registry import bindings
from metering.errors import ImportRowsError, RequestError
from metering.pushers import MAX_PUSHERS

DEVICES = [(2, "861"), (3, "862"), (4, "863")]


@pytest.fixture
async def connection(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(database_url)
    await connection.execute("INSERT INTO devices (device) VALUES ('861'), ('862'), ('863')")
    yield connection
    await connection.close()


async def bound(connection: asyncpg.Connection, product: str) -> list[str]:
    return [holder.device for holder in await bindings.holders_of_product(connection, product)]


async def test_they_are_bound_moved_shared_and_left(connection: asyncpg.Connection, database_url: str) -> None:
    assert await bind_devices(database_url, "east", DEVICES, beside=False) == 3
    assert await bind_devices(database_url, "east", DEVICES, beside=False) == 0
    assert await bind_devices(database_url, "west", DEVICES[:1], beside=False) == 1
    assert (await bound(connection, "east"), await bound(connection, "west")) == (["862", "863"], ["861"])
    assert await bind_all_of(database_url, "south", "east", beside=True) == 2
    assert await bound(connection, "south") == await bound(connection, "east") == ["862", "863"]
    assert await bind_all_of(database_url, "north", "east", beside=False) == 2
    assert await bound(connection, "south") == await bound(connection, "east") == []
    assert await unbind_devices(database_url, DEVICES, "west", "sold") == 1
    assert await unbind_devices(database_url, DEVICES, None, "sold") == 2
    rows = await connection.fetch("SELECT DISTINCT ended_by, ended_why FROM pusher_bindings ORDER BY ended_why")
    assert [row["ended_why"] for row in rows] == ["moved", "sold"]
    log = await connection.fetch("SELECT action, object, detail::jsonb->>'all_of' AS all_of FROM audit_log ORDER BY at")
    assert len(log) == 7
    assert [row["all_of"] for row in log] == [None, None, None, "east", "east", None, None]


async def test_all_or_none(connection: asyncpg.Connection, database_url: str) -> None:
    with pytest.raises(ImportRowsError) as unknown:
        await bind_devices(database_url, "east", [*DEVICES, (5, "nobody")], beside=False)
    assert unknown.value.rows[0][0] == 5
    for number in range(MAX_PUSHERS):
        await bind_devices(database_url, f"p{number}", DEVICES[:1], beside=True)
    with pytest.raises(ImportRowsError) as crowded:
        await bind_devices(database_url, "east", DEVICES, beside=True)
    assert [row[0] for row in crowded.value.rows] == [2]
    assert await bound(connection, "east") == []


@pytest.mark.parametrize("name", ["", "East", "a b", "x" * 33, "-a"])
def test_what_no_product_is_called(name: str) -> None:
    with pytest.raises(RequestError):
        checked_product(name)
