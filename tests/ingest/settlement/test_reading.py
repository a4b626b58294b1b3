"""Whatever the spacing of readings and the order in which they came, days are those that all readings give at once."""

import random
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import asyncpg
import numpy as np
import pytest

from ingest.settlement import reading
from ingest.settlement.days import days_of
from ingest.settlement.reading import ReadingTable
from ingest.settlement.spans import Spans
from ingest.settlement.stage import SettlementStage
from metering import consumption
from metering.settings import SettlementSettings

ZONE = ZoneInfo("Asia/Shanghai")
T0 = int(datetime(2026, 3, 1, tzinfo=ZONE).timestamp())
HOUR_S, DAY_S = 3_600, 86_400
LITRE = 1_000
SPACINGS = {
    "hourly": [HOUR_S],
    "hourly with holes": [HOUR_S] * 9 + [3 * HOUR_S, 2 * DAY_S],
    "daily": [DAY_S],
    "weeks of silence": [HOUR_S] * 6 + [20 * DAY_S],
    "monthly": [30 * DAY_S, 31 * DAY_S],
    "odd": [1_700, HOUR_S, 5_000, 90_000],
}


@pytest.fixture
async def connection(any_database_url):
    connection = await asyncpg.connect(any_database_url)
    yield connection
    await connection.close()


@pytest.fixture(params=["alone", "in crowds", "too many for one statement"])
def reading_path(request, monkeypatch):
    if request.param != "alone":
        monkeypatch.setattr(reading, "CROWD", 1)
    if request.param == "too many for one statement":
        limited = reading._READ_FROM.replace(f"LIMIT {reading.MAX_READINGS + 1}", "LIMIT 31")
        assert limited != reading._READ_FROM
        monkeypatch.setattr(reading, "_READ_FROM", limited)
        monkeypatch.setattr(reading, "MAX_READINGS", 30)


def at(unix_s):
    return datetime.fromtimestamp(unix_s, UTC)


def readings_of(rng, spacings, count):
    ts, index = T0 + rng.randrange(DAY_S), 7_000
    for _ in range(count):
        ts += rng.choice(spacings)
        index += rng.choice([0, 0, 1, 4, 9])
        yield ts, (index + rng.choice([0] * 30 + [90_000, -50])) * LITRE


def expected(readings):
    ts_s, index_ml = (np.array(column, np.int64) for column in zip(*readings, strict=True))
    curve = consumption.validated(ts_s, index_ml, consumption.Limits.of())
    everything = Spans(np.array([1]), ts_s[:1] * 0, ts_s[:1] * 0 + 2**34)
    found = days_of(curve, everything, ZONE)
    columns = (found.start_index_ml, found.end_index_ml, found.consumption_ml, found.complete, found.readings)
    dates = [consumption.day_of(ZONE, day) for day in found.day.tolist()]
    return list(zip(dates, *(column.tolist() for column in columns), strict=True))


async def store(connection, meter_id, readings):
    ts, index = [at(ts_s) for ts_s, _ in readings], [index_ml for _, index_ml in readings]
    await connection.execute(
        "INSERT INTO readings SELECT $1, ts, 0, index_ml FROM unnest($2::timestamptz[], $3::bigint[]) r (ts, index_ml)",
        meter_id, ts, index,
    )  # fmt: skip
    await connection.execute(
        "INSERT INTO touched_spans (meter_id, from_ts, to_ts) VALUES ($1, $2, $3)", meter_id, min(ts), max(ts)
    )


async def test_days_are_those_of_all_readings_at_once(connection, reading_path):
    rng = random.Random(5)
    rows = await connection.fetch(
        "INSERT INTO meters (serial) SELECT 'S' || g FROM generate_series(1, $1::int) g RETURNING meter_id",
        len(SPACINGS),
    )
    sent = {row[0]: list(readings_of(rng, spacings, 60)) for row, spacings in zip(rows, SPACINGS.values(), strict=True)}
    pieces = [
        (meter_id, readings[low : low + 6]) for meter_id, readings in sent.items() for low in range(0, len(readings), 6)
    ]
    rng.shuffle(pieces)
    stage = SettlementStage(connection, SettlementSettings(), ZONE)
    for meter_id, piece in pieces:
        await store(connection, meter_id, piece)
        if rng.random() < 0.3:
            await stage.settle_batch()
    while await stage.settle_batch():
        pass
    for (meter_id, readings), name in zip(sent.items(), SPACINGS, strict=True):
        found = await connection.fetch(
            "SELECT day, start_index_ml, end_index_ml, consumption_ml, complete, readings FROM settled_days "
            "WHERE meter_id = $1 ORDER BY day",
            meter_id,
        )
        assert [tuple(row) for row in found] == expected(readings), name
    assert await connection.fetchval("SELECT count(*) FROM touched_spans") == 0


async def test_stretches_of_one_meter_are_kept_apart(connection, reading_path):
    (row,) = await connection.fetch("INSERT INTO meters (serial) VALUES ('S') RETURNING meter_id")
    await store(connection, row[0], [(T0 + hour * HOUR_S, hour * LITRE) for hour in range(200)])
    stretches = Spans(
        np.array([row[0]] * 3), T0 + HOUR_S * np.array([0, 50, 150]), T0 + HOUR_S * np.array([10, 60, 170])
    )
    found = await ReadingTable(connection).read(stretches)
    for position, (first, last) in enumerate([(0, 10), (50, 60), (150, 170)]):
        hours = (found.readings.ts_s[found.readings.meter == position] - T0) // HOUR_S
        expected_last = 199 if found.is_newest[position] else last
        assert hours.tolist() == list(range(first, expected_last + 1))


async def test_what_is_taken_is_gone_and_the_rest_waits(connection):
    for number in range(5):
        await connection.execute(
            "INSERT INTO touched_spans (meter_id, from_ts, to_ts) VALUES ($1, $2, $3)", number, at(T0), at(T0 + 1)
        )
    taken = await reading.take(connection, 3)
    assert sorted(taken.meter_id.tolist()) == [0, 1, 2]
    assert set(taken.from_s.tolist()) == {T0}
    assert set(taken.to_s.tolist()) == {T0 + 1}
    assert (await reading.waiting(connection))[0] == 2
    assert len((await reading.take(connection, 3)).meter_id) == 2
    assert len((await reading.take(connection, 3)).meter_id) == 0
