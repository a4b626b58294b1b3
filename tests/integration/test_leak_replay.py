"""A file of readings replayed through settlement and the live leak stage gives the alerts of `leaks evaluate`.

Compared is what the detector says of each fault, one row of the file of alerts each: meter, kind, time of the last
reading needed, rate, begin. The platform keeps one alert per meter and kind, which a fault that comes back continues;
what was said of each stands in the `course` of its evidence. Not compared: no report (silence goes by the time of
receipt), and what the evaluation says of the hours after the last reading of a meter, which the live stage waits for.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import asyncpg
import numpy as np
import pytest

from ingest.leaks.evaluation import KINDS, MeterReadings, evaluated, read_readings
from ingest.leaks.events import Kind
from ingest.leaks.live import metrics
from ingest.leaks.live.checkpoints import SLOTS
from ingest.leaks.live.stage import LeakStage
from ingest.settlement.stage import SettlementStage
from metering.leak_settings import LeakSettings
from metering.settings import SettlementSettings
from tests.ingest.leaks import homes

ZONE = ZoneInfo("Asia/Shanghai")
OFFSET_S = 8 * 3_600
SETTINGS = LeakSettings()
METERS, DAYS = 20, 46
Q3_L_H = np.where(np.isin(np.arange(METERS), (0, 2, 3, 4, 5, 7, 10)), 10_000, 2_500)
Q3_L_H[8] = 1_600
"""All levels, and what the states remember, go by it."""
DAY_S = 86_400
FROM_DAY_S = 25 * DAY_S
FIRST_S = int(homes.FIRST.replace(tzinfo=UTC).timestamp())


class Said(NamedTuple):
    """Of a fault, once; times local."""

    meter: str
    kind: str
    raised_at: datetime
    rate_ml_h: int | None
    began_at: datetime


@pytest.fixture(scope="module")
def readings(tmp_path_factory: pytest.TempPathFactory) -> MeterReadings:
    """Leaks that stay, end, come back, drip, come and go; bursts, reverse flow, a meter stuck, one that registers less;
    a twentieth of all readings lost, and some days."""
    flow = homes.flows(METERS, seed=3)[:, : DAYS * 24]
    day = 24
    flow[0, 26 * day :] += 6
    flow[1, 24 * day : 29 * day] += 10
    flow[1, 36 * day : 40 * day] += 12
    flow[2, 25 * day :] += np.where(np.arange((DAYS - 25) * day) % 2, 1, 0)
    flow[3, 22 * day :] += np.where(np.arange((DAYS - 22) * day) % 3 < 2, 14, 0)
    flow[4, 30 * day : 30 * day + 5] += 900
    flow[5, 28 * day] = -5
    flow[6, 27 * day :] = 0
    flow[7, 30 * day :] = np.floor(flow[7, 30 * day :] * 0.25)
    flow[8, 26 * day :] += 5
    flow[Q3_L_H == 10_000] *= 4
    path = tmp_path_factory.mktemp("replay") / "readings.csv"
    homes.write(path, flow, lost=0.05)
    found = read_readings(path)
    of, at = found.meter, (found.ts_s - FIRST_S) // DAY_S
    lost = ((of == 8) & (at >= 27) & (at < 30)) | ((of == 9) & (at == 33)) | ((of == 6) & (at == 31))
    return found._replace(meter=of[~lost], ts_s=found.ts_s[~lost], index_ml=found.index_ml[~lost])


@pytest.fixture(scope="module")
def expected(readings: MeterReadings) -> set[Said]:
    q3_l_h = {f"M{at}": int(q3) for at, q3 in enumerate(Q3_L_H)}
    return {
        Said(one.subject, one.kind, one.raised_at, _ml(one.est_rate_lph), one.est_start)
        for one in evaluated(readings, SETTINGS, q3_l_h) if one.kind != "NOREPORT" and one.est_start is not None
    }  # fmt: skip


def _ml(litres: float | None) -> int | None:
    return None if litres is None else round(litres * 1_000)


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[Any]:
    pool = await asyncpg.create_pool(database_url, min_size=1, max_size=2)
    await pool.execute("INSERT INTO meters (serial, q3_l_h) SELECT 'M' || at - 1, q3 "
                       "FROM unnest($1::int[]) WITH ORDINALITY AS sizes (q3, at)", Q3_L_H.tolist())  # fmt: skip
    yield pool
    await pool.close()


async def arrive(pool: Any, readings: MeterReadings, which: Any) -> None:
    """These readings come in, and are settled and looked at."""
    ids = dict(await pool.fetch("SELECT serial, meter_id FROM meters"))
    meter = np.array([ids[name] for name in readings.names], np.int64)[readings.meter[which]]
    ts_s = readings.ts_s[which] - OFFSET_S
    await pool.execute(
        "INSERT INTO readings SELECT m, to_timestamp(s), 0, ml FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) "
        "AS r (m, s, ml)", meter.tolist(), ts_s.tolist(), readings.index_ml[which].tolist(),
    )  # fmt: skip
    await pool.execute(
        "INSERT INTO touched_spans (meter_id, from_ts, to_ts) SELECT m, to_timestamp(min(s)), to_timestamp(max(s)) "
        "FROM unnest($1::bigint[], $2::bigint[]) AS r (m, s) GROUP BY m", meter.tolist(), ts_s.tolist(),
    )  # fmt: skip
    async with pool.acquire() as connection:
        settlement = SettlementStage(connection, SettlementSettings(), ZONE)
        while await settlement.settle_batch():
            pass
    await LeakStage(pool, ZONE, SETTINGS).look_at_batch()


async def said(pool: Any) -> set[Said]:
    rows = await pool.fetch(
        "SELECT serial, kind, evidence FROM alerts JOIN meters USING (meter_id) WHERE kind = ANY($1)",
        [kind.value for kind in Kind],
    )
    return {
        Said(serial, KINDS[Kind(kind)], _local(note["at"]), note["rate_ml_h"], _local(note["from"]))
        for serial, kind, evidence in rows for note in json.loads(evidence)["course"]
    }  # fmt: skip


def _local(iso: str) -> datetime:
    return datetime.fromisoformat(iso).astimezone(ZONE).replace(tzinfo=None)


async def states(pool: Any) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in await pool.fetch("SELECT * FROM leak_states ORDER BY meter_id")]


async def alerts(pool: Any) -> list[tuple[Any, ...]]:
    """Of our detector."""
    rows = await pool.fetch(
        "SELECT meter_id, kind, raised_at, started_at, ended_at, certainty "
        "FROM alerts WHERE kind <> 'continuous_flow' ORDER BY meter_id, kind"
    )
    return [tuple(row) for row in rows]


async def in_order(pool: Any, readings: MeterReadings) -> None:
    """Day by day, each meter's day ending at an hour of its own."""
    since_s = readings.ts_s - FIRST_S - readings.meter * 3_600 // 2
    arrived = since_s < FROM_DAY_S
    await arrive(pool, readings, arrived)
    for day in range(FROM_DAY_S // DAY_S + 1, DAYS + 2):
        now = (since_s < day * DAY_S) & ~arrived
        if now.any():
            await arrive(pool, readings, now)
        arrived |= now


async def test_day_by_day_or_at_once_the_alerts_are_those_of_the_evaluation(
    pool: Any, readings: MeterReadings, expected: set[Said]
) -> None:
    assert {one.kind for one in expected} == set(KINDS.values())
    await in_order(pool, readings)
    assert await said(pool) == expected
    one_by_one = await states(pool)
    raised = await alerts(pool)
    for table in ("readings", "leak_states", "alert_events", "alerts", "settled_days"):
        await pool.execute(f"DELETE FROM {table}")
    await arrive(pool, readings, np.ones(len(readings.ts_s), bool))
    assert await said(pool) == expected
    assert await states(pool) == one_by_one
    assert await alerts(pool) == raised


async def test_days_that_come_late_are_gone_on_to_from_an_earlier_state(pool: Any, readings: MeterReadings) -> None:
    """Days come in order but for some that come days after; then one that is older than every earlier state."""
    of, day = readings.meter, (readings.ts_s - FIRST_S) // DAY_S
    comes = day.copy()
    comes[day < 15] = 14
    for meter, late_day, later in (
        (1, 37, 2),
        (2, 31, 12),
        (3, 30, 2),
        (4, 40, 3),
        (4, 41, 6),
        (5, 28, 17),
        (6, 24, 9),
    ):
        comes[(of == meter) & (day == late_day)] += later
    comes[(of == 7) & (day == 12)] = 46
    before = how_many()
    for now in np.unique(comes).tolist():
        await arrive(pool, readings, comes == now)
        assert await pool.fetchval("SELECT COALESCE(max(n), 0) FROM (SELECT count(*) AS n FROM leak_checkpoints "
                                   "GROUP BY meter_id) AS of_meter") <= SLOTS  # fmt: skip
    resumed, learned = how_many()
    assert resumed - before[0] == 7
    assert learned - before[1] == METERS + 1
    one_by_one = await states(pool)
    assert not await pool.fetchval(
        "SELECT count(*) FROM leak_checkpoints c JOIN leak_states s USING (meter_id) WHERE c.day > s.day"
    )
    for table in ("readings", "leak_states", "alert_events", "alerts", "settled_days"):
        await pool.execute(f"DELETE FROM {table}")
    assert await pool.fetchval("SELECT count(*) FROM leak_checkpoints") == 0
    await arrive(pool, readings, np.ones(len(readings.ts_s), bool))
    assert await states(pool) == one_by_one


def how_many() -> tuple[float, float]:
    """Meters that were resumed, and learned, so far."""
    return tuple(metrics.METERS.labels(how)._value.get() for how in ("resumed", "learned"))


async def test_days_that_come_late_are_learned_as_if_they_had_come_in_time(pool: Any, readings: MeterReadings) -> None:
    day = (readings.ts_s - FIRST_S) // DAY_S
    late = (day == 33) | ((readings.meter == 1) & (day == 37))
    await arrive(pool, readings, (day < 36) & ~late)
    await arrive(pool, readings, (day >= 36) & ~late)
    before = await states(pool)
    await arrive(pool, readings, late)
    after = await states(pool)
    assert [row[0] for row in before] == [row[0] for row in after]
    assert before != after
    for table in ("readings", "leak_states", "alert_events", "alerts", "settled_days"):
        await pool.execute(f"DELETE FROM {table}")
    await arrive(pool, readings, np.ones(len(readings.ts_s), bool))
    assert await states(pool) == after
