"""An import of meters into the database: all or nothing, and the same again changes nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import asyncpg
import pytest

from ingest.registry import import_meters as module
from ingest.registry.import_meters import import_meters, parse_csv, parse_rows
from metering.errors import ImportRowsError

HEADER = "serial,imei,dn_mm,zone,address,latitude,longitude,installed_at,critical"
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@pytest.fixture
async def connection(any_database_url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(any_database_url)
    yield connection
    await connection.close()


async def take(connection: asyncpg.Connection, *lines: str, header: str = HEADER) -> int:
    return await import_meters(connection, parse_csv("\n".join([header, *lines])))


async def registry(connection: asyncpg.Connection) -> list[tuple]:
    rows = await connection.fetch(
        """
        SELECT m.serial, d.device, d.imei, i.valid_from, i.valid_to IS NULL AS open, i.service_point_id
        FROM installations i JOIN meters m USING (meter_id) JOIN devices d USING (device_id)
        ORDER BY m.serial, i.valid_from
        """
    )
    return [tuple(row) for row in rows]


async def everything(connection: asyncpg.Connection) -> list[list[tuple]]:
    tables = ("zones", "service_points", "meters", "devices", "installations")
    return [[tuple(row) for row in await connection.fetch(f"SELECT * FROM {table} ORDER BY 1")] for table in tables]


async def refusals(connection: asyncpg.Connection, *lines: str, header: str = HEADER) -> list[tuple[int, str, str]]:
    before = await everything(connection)
    with pytest.raises(ImportRowsError) as caught:
        await take(connection, *lines, header=header)
    assert await everything(connection) == before
    return caught.value.rows


async def test_new_meters(connection: asyncpg.Connection) -> None:
    lines = (
        "20260000000001,861234567890001,20,DMA-1,龙湾大街 1 号,40.71,120.83,2026-01-31,yes",
        "20260000000002,,,,,,,,",
    )
    assert await take(connection, *lines) == 2
    assert await registry(connection) == [
        ("20260000000001", "861234567890001", "861234567890001", datetime(2026, 1, 30, 16, tzinfo=UTC), True, 1),
        ("20260000000002", "20260000000002", None, EPOCH, True, 2),
    ]
    meters = await connection.fetch("SELECT dn_mm, q3_l_h FROM meters ORDER BY serial")
    assert [tuple(row) for row in meters] == [(20, 4000), (15, 2500)]
    point = await connection.fetchrow("SELECT * FROM service_points JOIN zones USING (zone_id)")
    assert (point["code"], point["address"], point["latitude"], point["critical"]) == (
        "DMA-1", "龙湾大街 1 号", 40.71, True,
    )  # fmt: skip
    assert await connection.fetchval("SELECT DISTINCT plain_sources::text FROM devices") == "{127.0.0.0/8,::1/128}"
    assert await connection.fetchval("SELECT count(DISTINCT device) FROM outbox") == 2


async def test_the_same_again_changes_and_announces_nothing(connection: asyncpg.Connection) -> None:
    lines = ("1001,861234567890001,20,DMA-1,a,40,120,2026-01-31,yes", "1002,,,,,,,,")
    await take(connection, *lines)
    before = await everything(connection)
    await connection.execute("DELETE FROM outbox")
    assert await take(connection, *lines) == 2
    assert await everything(connection) == before
    assert await connection.fetchval("SELECT count(*) FROM outbox") == 0


async def test_what_a_row_leaves_out_stays(connection: asyncpg.Connection) -> None:
    await take(connection, "1001,861234567890001,20,DMA-1,a,40,120,2026-01-31,yes")
    await take(connection, "1001,b,10.1.0.0/16", header="serial,address,plain_sources")
    point = await connection.fetchrow("SELECT * FROM service_points JOIN zones USING (zone_id)")
    assert (point["code"], point["address"], point["latitude"], point["critical"]) == ("DMA-1", "b", 40.0, True)
    device = await connection.fetchrow("SELECT imei, plain_sources::text AS sources FROM devices")
    assert tuple(device) == ("861234567890001", "{10.1.0.0/16}")


async def test_another_imei_is_another_device_from_now_on(connection: asyncpg.Connection) -> None:
    await take(connection, "1001,861234567890001,,,a,,,2026-01-31,")
    line = "1001,861234567890002,,,a,,,2026-01-31,"
    await take(connection, line)
    before = await everything(connection)
    await take(connection, line)
    assert await everything(connection) == before
    (old, new) = await registry(connection)
    assert (old[1], old[4], new[1], new[4]) == ("861234567890001", False, "861234567890002", True)
    assert old[5] == new[5]
    assert await connection.fetchval(
        "SELECT a.valid_to = b.valid_from FROM installations a, installations b "
        "WHERE a.installation_id = 1 AND b.installation_id = 2"
    )


async def test_an_exchange_may_be_dated(connection: asyncpg.Connection) -> None:
    await take(connection, "1001,861234567890001,,,,,,2026-01-31,")
    await take(connection, "1001,861234567890002,,,,,,2026-03-01T08:00:00+00:00,")
    assert (await registry(connection))[1][3] == datetime(2026, 3, 1, 8, tzinfo=UTC)


async def test_two_meters_may_swap_their_devices(connection: asyncpg.Connection) -> None:
    await take(connection, "1001,861234567890001,,,,,,,", "1002,861234567890002,,,,,,,")
    await take(connection, "1001,861234567890002,,,,,,,", "1002,861234567890001,,,,,,,")
    now = {(row[0], row[2]) for row in await registry(connection) if row[4]}
    assert now == {("1001", "861234567890002"), ("1002", "861234567890001")}


async def test_a_device_known_by_its_serial_learns_its_imei(connection: asyncpg.Connection) -> None:
    await take(connection, "1001,,,,,,,,")
    await take(connection, "1001,861234567890001,,,,,,,")
    assert await registry(connection) == [("1001", "861234567890001", "861234567890001", EPOCH, True, 1)]
    announced = await connection.fetch("SELECT DISTINCT device FROM outbox ORDER BY 1")
    assert [row["device"] for row in announced] == ["1001", "861234567890001"]


async def test_installed_at_corrects_the_only_installation(connection: asyncpg.Connection) -> None:
    await take(connection, "1001,,,,,,,,")
    await take(connection, "1001,,,,,,,2026-01-31T00:00:00+00:00,")
    assert [row[3] for row in await registry(connection)] == [datetime(2026, 1, 31, tzinfo=UTC)]


async def test_a_meter_that_was_removed_comes_back_from_now_on(connection: asyncpg.Connection) -> None:
    await take(connection, "1001,861234567890001,,,,,,,")
    await connection.execute("UPDATE installations SET valid_to = now()")
    await take(connection, "1001,861234567890001,,,,,,,")
    (old, new) = await registry(connection)
    assert (old[4], new[4], old[1] == new[1]) == (False, True, True)


@pytest.mark.parametrize(
    ("line", "column", "message"),
    [
        ("1002,861234567890001,,,,,,,", "imei", "861234567890001 is on meter 1001"),
        ("861234567890001,,,,,,,,", "serial", "is the name of another device"),
        ("1002,100000000000009,,,,,,,", "imei", "is the serial of a meter"),
        ("1002,,,,,,,2199-01-01,", "installed_at", "is in the future"),
    ],
)
async def test_what_contradicts_the_database_is_refused_whole(
    connection: asyncpg.Connection, line: str, column: str, message: str
) -> None:
    await take(connection, "1001,861234567890001,,,,,,,", "100000000000009,,,,,,,,")
    rows = await refusals(connection, "1003,,,,,,,,", line)
    assert [(number, field) for number, field, _ in rows] == [(3, column)]
    assert message in rows[0][2]


async def test_two_places_at_a_time_are_refused(connection: asyncpg.Connection) -> None:
    await take(connection, "1001,861234567890001,,,,,,2026-01-01,")
    await connection.execute("UPDATE installations SET valid_to = '2026-05-01Z'")
    rows = await refusals(connection, "1002,861234567890001,,,,,,2026-04-01,")
    assert rows == [(2, "installed_at", "overlaps an earlier installation of the meter or of its device")]


async def test_rows_that_are_no_file_in_several_slices(
    connection: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SLICE_ROWS", 1_000)
    rows = parse_rows({"serial": f"{number:014d}", "imei": f"{number:015d}"} for number in range(1, 2_501))
    assert await import_meters(connection, rows, ["10.0.0.0/8"]) == 2_500
    assert await connection.fetchval("SELECT count(*) FROM installations WHERE valid_to IS NULL") == 2_500


async def test_nothing_is_an_import_too(connection: asyncpg.Connection) -> None:
    assert await take(connection) == 0


async def test_devices_are_bound_to_the_push_products_of_their_rows(connection: asyncpg.Connection) -> None:
    """To those and no others; a row that says nothing changes nothing, and neither does the same file again."""
    header, imei, other = "serial,imei,pushers", "861234567890001", "861234567890002"

    async def bound() -> list[tuple]:
        rows = await connection.fetch(
            "SELECT device, product FROM pusher_bindings JOIN devices USING (device_id) WHERE ended_at IS NULL "
            "ORDER BY device, product"
        )
        return [tuple(row) for row in rows]

    await take(connection, f"1001,{imei},east west", "1002,,", "1003,,north", header=header)
    assert await bound() == [("1003", "north"), (imei, "east"), (imei, "west")]
    await connection.execute("DELETE FROM outbox")
    await take(connection, "1001,,west east", "1003,,", header=header)
    assert await connection.fetchval("SELECT count(*) FROM outbox WHERE device <> '1003'") == 0
    await take(connection, "1001,,west", f"1003,{other},-", header=header)
    assert await bound() == [(imei, "west")]
    assert await connection.fetchval("SELECT count(*) FROM pusher_bindings") == 3
    ended = await connection.fetch("SELECT ended_by FROM pusher_bindings WHERE ended_at IS NOT NULL")
    assert {row["ended_by"] for row in ended} == {"import"}
    await take(connection, "1001,861234567890009,south", header=header)
    assert await bound() == [(imei, "west"), ("861234567890009", "south")]


async def test_bad_names_of_products_are_refused(connection: asyncpg.Connection) -> None:
    lines = ("1,East", "2,a b c d e", "3,a;b")
    assert [row[:2] for row in await refusals(connection, *lines, header="serial,pushers")] == [
        (line, "pushers") for line in (2, 3, 4)
    ]


SWAP = "serial,imei,installed_at,multiplier,start_index_m3,replaces"


async def test_a_meter_takes_the_place_of_another(connection: asyncpg.Connection) -> None:
    await take(connection, "1001,861234567890001,20,DMA-1,a,40,120,2026-01-31,yes", "1003,,,,,,,,")
    swap = "1002,861234567890002,2026-03-09T12:30,10,0.5,1001"
    await take(connection, swap, header=SWAP)
    at = datetime(2026, 3, 9, 4, 30, tzinfo=UTC)
    rows = await connection.fetch(
        "SELECT m.serial, i.service_point_id, i.valid_from, i.valid_to, i.multiplier, i.start_index_ml "
        "FROM installations i JOIN meters m USING (meter_id) WHERE m.serial <> '1003' ORDER BY m.serial"
    )
    old, new = map(tuple, rows)
    assert (old[3], old[4]) == (at, 1)
    assert new == ("1002", old[1], at, None, 10, 500_000)
    assert await connection.fetchval("SELECT count(*) FROM service_points") == 2
    start = await connection.fetchrow("SELECT ts, index_ml FROM amendments WHERE source = 'installation'")
    assert tuple(start) == (at, 500_000)
    before = await everything(connection)
    assert await take(connection, swap, header=SWAP) == 1
    assert await everything(connection) == before
    await take(connection, "1002,,,20,,", header=SWAP)
    assert (
        await connection.fetchval("SELECT multiplier FROM installations WHERE valid_to IS NULL AND meter_id > 2") == 20
    )


async def test_the_device_may_go_to_the_new_meter(connection: asyncpg.Connection) -> None:
    await take(connection, "1001,861234567890001,,,,,,2026-01-31,")
    await take(connection, "1002,861234567890001,2026-03-09,,,1001", header=SWAP)
    assert [(row[0], row[1], row[4]) for row in await registry(connection)] == [
        ("1001", "861234567890001", False), ("1002", "861234567890001", True),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("line", "field", "message"),
    [
        ("1002,,2026-03-09,,,9999", "replaces", "9999 is not installed"),
        ("1002,,2025-03-09,,,1001", "installed_at", "1001 was not there yet, so it cannot have been replaced"),
        ("1002,,,,,1001\n1001,,,,,", "replaces", "1001 stands in this file, too"),
        ("1002,,,,,1002", "replaces", "a meter does not replace itself"),
        ("1002,,,,,1001\n1003,,,,,1001", "replaces", "1001 is replaced on line 2 already"),
        ("1002,,,0,,", "multiplier", "'0' is not a whole number from 1 to 10000"),
        ("1002,,,1.5,,", "multiplier", "'1.5' is not a whole number from 1 to 10000"),
        ("1002,,,,-1,", "start_index_m3", "'-1' is not an index from 0 to 100000000 m³"),
        ("1002,,,,NaN,", "start_index_m3", "'NaN' is not an index from 0 to 100000000 m³"),
    ],
)
async def test_swaps_that_cannot_be(connection: asyncpg.Connection, line: str, field: str, message: str) -> None:
    await take(connection, "1001,,,,,,,2026-01-31,")
    ((_, found, said),) = await refusals(connection, line, header=SWAP)
    assert (found, said) == (field, message)
