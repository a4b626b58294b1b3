"""The schema as a contract: what tables promise on plain PostgreSQL and on TimescaleDB, and what only on the latter."""

from __future__ import annotations

from collections.abc import AsyncIterator

import asyncpg
import pytest

HYPERTABLES = {"readings", "reports", "raw_reports", "settled_days"}
COMPRESSED = HYPERTABLES


@pytest.fixture
async def connection(any_database_url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(any_database_url)
    yield connection
    await connection.close()


@pytest.fixture
async def timescale(timescale_url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(timescale_url)
    yield connection
    await connection.close()


async def test_a_reading_is_stored_once(connection: asyncpg.Connection) -> None:
    insert = "INSERT INTO readings VALUES (1, '2026-01-01T01:00Z', 0, $1) ON CONFLICT DO NOTHING"
    assert await connection.execute(insert, 5) == "INSERT 0 1"
    assert await connection.execute(insert, 6) == "INSERT 0 0"
    assert await connection.fetchval("SELECT index_ml FROM readings") == 5


async def test_a_report_may_not_be_stored_twice(connection: asyncpg.Connection) -> None:
    insert = (
        "INSERT INTO reports (received_at, report_id, device, door, authentication, source, content_format, "
        "payload_bytes, outcome, identity) VALUES ('2026-01-01Z', '00000000-0000-7000-8000-000000000001', '861', "
        "'coap', 'claimed', '::1', 60, 9, $1, 7)"
    )
    await connection.execute(insert, "stored")
    with pytest.raises(asyncpg.UniqueViolationError):
        await connection.execute(insert, "stored")
    with pytest.raises(asyncpg.CheckViolationError):
        await connection.execute(insert, "lost")


async def test_one_active_alert_of_a_kind_per_meter(connection: asyncpg.Connection) -> None:
    await connection.execute("INSERT INTO meters (serial) VALUES ('1001')")
    insert = (
        "INSERT INTO alerts (kind, severity, meter_id, state, started_at, raised_at, last_seen_at, evidence) "
        "VALUES ('silent', 'info', 1, $1, now(), now(), now(), '{}')"
    )
    await connection.execute(insert, "resolved")
    await connection.execute(insert, "acknowledged")
    with pytest.raises(asyncpg.UniqueViolationError):
        await connection.execute(insert, "open")


async def test_a_meter_and_a_device_are_in_one_place(connection: asyncpg.Connection) -> None:
    await connection.execute("INSERT INTO service_points DEFAULT VALUES")
    await connection.execute("INSERT INTO meters (serial) VALUES ('1001'), ('1002')")
    await connection.execute("INSERT INTO devices (device) VALUES ('861'), ('862')")
    insert = "INSERT INTO installations (service_point_id, meter_id, device_id, valid_from) VALUES (1, $1, $2, now())"
    await connection.execute(insert, 1, 1)
    for meter, device in ((1, 2), (2, 1)):
        with pytest.raises(asyncpg.UniqueViolationError):
            await connection.execute(insert, meter, device)


async def test_hypertables_and_their_policies(timescale: asyncpg.Connection) -> None:
    tables = await timescale.fetch("SELECT hypertable_name FROM timescaledb_information.hypertables")
    jobs = await timescale.fetch(
        "SELECT proc_name, hypertable_name FROM timescaledb_information.jobs WHERE hypertable_name IS NOT NULL"
    )
    found: dict[str, set[str]] = {}
    for job in jobs:
        found.setdefault(job["proc_name"], set()).add(job["hypertable_name"])
    assert {row["hypertable_name"] for row in tables} == HYPERTABLES
    assert found == {"policy_compression": COMPRESSED, "policy_retention": HYPERTABLES}


async def fill_days(connection: asyncpg.Connection, days: int, meters: int) -> None:
    await connection.execute(
        """
        INSERT INTO readings
        SELECT meter_id, '2026-01-01Z'::timestamptz + hour * INTERVAL '1 hour', 0, 1000 * hour
        FROM generate_series(1, $1::int) AS meter_id, generate_series(0, $2::int * 24 - 1) AS hour
        """,
        meters, days,
    )  # fmt: skip


async def compress(connection: asyncpg.Connection) -> int:
    chunks = await connection.fetch(
        "SELECT format('%I.%I', chunk_schema, chunk_name) AS chunk FROM timescaledb_information.chunks "
        "WHERE hypertable_name = 'readings'"
    )
    for row in chunks:
        await connection.execute("SELECT compress_chunk($1::text::regclass)", row["chunk"])
    return len(chunks)


async def late_rows_into_compressed_chunks(connection: asyncpg.Connection) -> None:
    await fill_days(connection, days=3, meters=5)
    assert await compress(connection) == 3
    compressed = "SELECT count(*) FROM timescaledb_information.chunks WHERE is_compressed"
    assert await connection.fetchval(compressed) == 3
    insert = "INSERT INTO readings VALUES ($1, '2026-01-02T05:00Z', $2, 7) ON CONFLICT DO NOTHING"
    assert await connection.execute(insert, 9, 0) == "INSERT 0 1"
    assert await connection.execute(insert, 1, 0) == "INSERT 0 0"
    assert await connection.execute(insert, 1, 1) == "INSERT 0 1"
    with pytest.raises(asyncpg.UniqueViolationError):
        await connection.execute("INSERT INTO readings VALUES (2, '2026-01-02T05:00Z', 0, 7)")
    assert await connection.fetchval("SELECT count(*) FROM readings") == 5 * 72 + 2
    last = await connection.fetchval("SELECT index_ml FROM readings WHERE meter_id = 3 ORDER BY ts DESC LIMIT 1")
    assert last == 71_000


async def test_late_rows_go_into_compressed_chunks(timescale: asyncpg.Connection) -> None:
    await late_rows_into_compressed_chunks(timescale)


async def test_ingest_may_write_late_rows_too(timescale: asyncpg.Connection) -> None:
    await fill_days(timescale, days=1, meters=2)
    await compress(timescale)
    await timescale.execute("SET ROLE nbwater_ingest")
    await timescale.execute("INSERT INTO readings VALUES (9, '2026-01-01T05:00Z', 0, 7) ON CONFLICT DO NOTHING")
    await timescale.execute("INSERT INTO readings VALUES (9, '2027-01-01T05:00Z', 0, 7) ON CONFLICT DO NOTHING")
    assert await timescale.fetchval("SELECT count(*) FROM readings") == 50
    await timescale.execute("RESET ROLE")


@pytest.mark.timescale
async def test_late_rows_by_copy_on_a_native_server(native_timescale_url: str) -> None:
    connection = await asyncpg.connect(native_timescale_url)
    await late_rows_into_compressed_chunks(connection)
    stamp = await connection.fetchval("SELECT '2026-01-03T00:30Z'::timestamptz")
    rows = [(meter, stamp, 0, meter) for meter in range(1, 2_001)]
    await connection.execute("SET ROLE nbwater_ingest")
    await connection.copy_records_to_table("readings", records=rows)
    with pytest.raises(asyncpg.UniqueViolationError):
        await connection.copy_records_to_table("readings", records=rows[:1])
    assert await connection.fetchval("SELECT count(*) FROM readings WHERE ts = $1", stamp) == 2_000
    await connection.close()


@pytest.mark.timescale
async def test_policies_run_on_a_native_server(native_timescale_url: str) -> None:
    connection = await asyncpg.connect(native_timescale_url)
    await fill_days(connection, days=2, meters=3)
    await connection.execute("INSERT INTO readings VALUES (1, now() - INTERVAL '11 years', 0, 1)")
    jobs = await connection.fetch(
        "SELECT job_id FROM timescaledb_information.jobs WHERE hypertable_name = 'readings' ORDER BY proc_name"
    )
    for job in jobs:
        await connection.execute(f"CALL run_job({job['job_id']})")
    assert await connection.fetchval("SELECT count(*) FROM timescaledb_information.chunks WHERE is_compressed") == 2
    assert await connection.fetchval("SELECT count(*) FROM readings") == 2 * 24 * 3
    await connection.close()
