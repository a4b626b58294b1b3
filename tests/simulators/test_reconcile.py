"""The reconciler on a real database into which faults were planted: it must find each, and nothing else."""

import uuid
from datetime import UTC, datetime, timedelta

import asyncpg
import numpy as np
import pytest

from simulators.reconcile import Ledger, reconcile

DEVICE = "900000000001"
T0 = 1_790_000_400
REPORTS, READINGS = 5, 3


def ledger(answered=(True, True, True, True, False)) -> Ledger:
    rows = np.repeat(np.arange(REPORTS), READINGS)
    ts_s = T0 + np.arange(REPORTS * READINGS) * 3600
    return Ledger(DEVICE, np.arange(10, 10 + REPORTS), np.array(answered), rows, ts_s, np.arange(len(rows)) * 7)


@pytest.fixture
async def database(database_url):
    connection = await asyncpg.connect(database_url)
    await connection.execute("INSERT INTO meters (serial) VALUES ($1)", DEVICE)
    await connection.execute("INSERT INTO devices (device) VALUES ($1)", DEVICE)
    await connection.execute("INSERT INTO service_points DEFAULT VALUES")
    await connection.execute(
        """INSERT INTO installations (service_point_id, meter_id, device_id, valid_from)
           SELECT service_point_id, meter_id, device_id, '2020-01-01Z' FROM meters, devices, service_points"""
    )
    sent = ledger()
    for seq in sent.seq[:4]:
        await store(connection, int(seq))
    for ts, litres in list(zip(sent.ts_s, sent.index_l, strict=True))[: 4 * READINGS]:
        await put_reading(connection, int(ts), int(litres) * 1000)
    yield connection
    await connection.close()


async def store(connection, seq, outcome="stored"):
    await connection.execute(
        """INSERT INTO reports (received_at, report_id, device, door, authentication, source, content_format,
                                payload_bytes, outcome, identity, device_seq)
           VALUES (now(), $1, $2, 'coap', 'claimed', '', 60, 1, $3, 0, $4)""",
        uuid.uuid4(), DEVICE, outcome, seq,
    )  # fmt: skip


async def put_reading(connection, ts, index_ml, kind=0):
    await connection.execute(
        "INSERT INTO readings (meter_id, ts, kind, index_ml) SELECT meter_id, $1, $2, $3 FROM meters",
        datetime.fromtimestamp(ts, UTC), kind, index_ml,
    )  # fmt: skip


async def found(database_url, sent=None):
    since = datetime.now(UTC) - timedelta(minutes=1)
    return await reconcile(database_url, [sent or ledger()], since, max_wait_s=0.5, quiet_s=0.1)


def faults(result):
    names = ("lost", "doubled", "altered", "unsent", "unsent_readings")
    return {name: getattr(result, name) for name in names if getattr(result, name)}


async def test_all_is_well(database, database_url):
    result = await found(database_url)
    assert faults(result) == {}
    assert result.ok
    assert (result.sent, result.answered, result.stored) == (5, 4, 4)
    assert result.readings_stored == 12


async def test_an_unanswered_report_may_be_stored(database, database_url):
    await store(database, 14)
    for number in range(12, 15):
        await put_reading(database, T0 + number * 3600, number * 7000)
    result = await found(database_url)
    assert result.ok
    assert result.stored == 5


async def test_a_copy_that_ingest_recognised_is_harmless(database, database_url):
    await store(database, 11, "duplicate")
    result = await found(database_url)
    assert result.ok
    assert result.repeats_recognised == 1


async def test_a_lost_report(database, database_url):
    await database.execute("DELETE FROM reports WHERE device_seq = 12")
    first, last = (datetime.fromtimestamp(T0 + hours * 3600, UTC) for hours in (6, 8))
    await database.execute("DELETE FROM readings WHERE ts BETWEEN $1 AND $2", first, last)
    result = await found(database_url)
    assert faults(result) == {"lost": 1}
    assert result.examples == {"lost": [f"{DEVICE}/12"]}


async def test_a_dead_lettered_report_is_lost(database, database_url):
    await database.execute("UPDATE reports SET outcome = 'dead_lettered' WHERE device_seq = 12")
    assert (await found(database_url)).lost == 1


async def test_a_doubled_report(database, database_url):
    await store(database, 11)
    assert faults(await found(database_url)) == {"doubled": 1}


async def test_an_altered_reading(database, database_url):
    await database.execute("UPDATE readings SET index_ml = index_ml + 1 WHERE ts = $1",
                           datetime.fromtimestamp(T0 + 4 * 3600, UTC))  # fmt: skip
    result = await found(database_url)
    assert faults(result) == {"altered": 1}
    assert result.examples["altered"] == [f"{DEVICE}/11"]


async def test_a_missing_reading_of_a_stored_report(database, database_url):
    await database.execute("DELETE FROM readings WHERE ts = $1", datetime.fromtimestamp(T0, UTC))
    assert faults(await found(database_url)) == {"altered": 1}


async def test_an_unsent_report(database, database_url):
    await store(database, 99)
    assert faults(await found(database_url)) == {"unsent": 1}


async def test_an_unsent_reading_and_a_reading_twice(database, database_url):
    await put_reading(database, T0 + 1800, 5)
    await put_reading(database, T0 + 3600, 7000, kind=1)
    assert faults(await found(database_url)) == {"unsent_readings": 2}


async def test_a_device_the_database_does_not_know(database, database_url):
    result = await found(database_url, ledger()._replace(device="nobody"))
    assert result.unknown_devices == 1
    assert result.lost == 4
