"""Homes whose readings are stored and settled as ingest and settlement do it, and what the stage says of them."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np

from ingest.leaks.live.stage import LeakStage
from ingest.settlement.stage import SettlementStage
from metering.leak_settings import LeakSettings
from metering.settings import SettlementSettings
from tests.ingest.leaks import homes

ZONE = ZoneInfo("Asia/Shanghai")
FIRST = homes.FIRST.replace(tzinfo=ZONE)
BEGIN_H = 30 * 24
SETTINGS = LeakSettings()


async def add_meters(pool: Any, count: int) -> list[int]:
    rows = await pool.fetch(
        "INSERT INTO meters (serial) SELECT 'S' || g FROM generate_series(1, $1::int) g RETURNING meter_id", count
    )
    return [row[0] for row in rows]


def at(hour: float) -> datetime:
    return FIRST + timedelta(hours=hour)


async def store(pool: Any, meter_id: int, flow_l: Any, from_h: int, to_h: int, known: Any = None) -> None:
    """As ingest does: the readings at the full hours from `from_h` to before `to_h`, and a span over them."""
    index = 5_000 + np.concatenate(([0.0], np.cumsum(flow_l)))
    hours = [hour for hour in range(from_h, to_h) if known is None or known[hour]]
    await pool.execute(
        "INSERT INTO readings SELECT $1, ts, 0, ml FROM unnest($2::timestamptz[], $3::bigint[]) r (ts, ml) "
        "ON CONFLICT DO NOTHING",
        meter_id, [at(hour) for hour in hours], [int(index[hour]) * 1_000 for hour in hours],
    )  # fmt: skip
    await pool.execute("INSERT INTO touched_spans (meter_id, from_ts, to_ts) VALUES ($1, $2, $3)",
                       meter_id, at(hours[0]), at(hours[-1]))  # fmt: skip


async def look(pool: Any, settings: LeakSettings = SETTINGS) -> None:
    async with pool.acquire() as connection:
        settlement = SettlementStage(connection, SettlementSettings(), ZONE)
        while await settlement.settle_batch():
            pass
    assert await LeakStage(pool, ZONE, settings).look_at_batch()


async def own_alerts(pool: Any) -> list[dict[str, Any]]:
    rows = await pool.fetch("SELECT * FROM alerts WHERE kind <> 'continuous_flow' ORDER BY alert_id")
    return [{**row, "evidence": json.loads(row["evidence"])} for row in rows]


async def leaking(pool: Any, hours: int = 60) -> tuple[int, Any]:
    """A meter with its flow, of which the hours after its leak began are settled and due."""
    (meter_id,) = await add_meters(pool, 1)
    flow = homes.flows(1)[0]
    flow[BEGIN_H:] += 6
    await store(pool, meter_id, flow, 0, BEGIN_H + hours)
    async with pool.acquire() as connection:
        await SettlementStage(connection, SettlementSettings(), ZONE).settle_batch()
    return meter_id, flow


async def due(pool: Any) -> int:
    found: int = await pool.fetchval("SELECT count(*) FROM leak_due")
    return found
