"""Meters that must be learned from the stored past wait behind those that the stage goes on with."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from ingest.leaks.live import stage as stage_module
from ingest.leaks.live import states
from ingest.leaks.live.stage import LeakStage
from ingest.settlement.stage import SettlementStage
from metering.process import ended
from metering.settings import SettlementSettings
from tests.ingest.leaks import homes
from tests.ingest.leaks.live.homes_stored import BEGIN_H, SETTINGS, ZONE, add_meters, due, look, own_alerts, store
from tests.integration.ingest_town import until


async def three_to_learn_and_one_known(pool: Any, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """All of them due, the known one last; not more than two are learned beside others."""
    meters = await add_meters(pool, 4)
    flow = homes.flows(4)
    flow[:, BEGIN_H:] += 6
    await store(pool, meters[3], flow[3], 0, BEGIN_H)
    await look(pool)
    for meter_id, of_home in zip(meters, flow, strict=True):
        await store(pool, meter_id, of_home, BEGIN_H if meter_id == meters[3] else 0, BEGIN_H + 60)
    async with pool.acquire() as connection:
        await SettlementStage(connection, SettlementSettings(), ZONE).settle_batch()
    monkeypatch.setattr(stage_module, "MAX_LEARNED", 2)
    return meters


async def test_meters_to_be_learned_wait_behind_the_others(pool: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    meters = await three_to_learn_and_one_known(pool, monkeypatch)
    monkeypatch.setattr(stage_module, "MAX_PUT_OFF", 2)
    stage = LeakStage(pool, ZONE, SETTINGS)
    assert await stage.look_at_batch() == 4
    assert [alert["meter_id"] for alert in await own_alerts(pool)] == [meters[3]]
    async with pool.acquire() as connection:
        waiting = await states.waiting(connection)
    assert (waiting.meters, waiting.put_off, waiting.oldest_s) == (3, 3, 0)
    assert await stage.look_at_batch() == 0
    assert [await stage.look_at_batch(put_off=True) for _ in range(3)] == [2, 1, 0]
    assert {alert["meter_id"] for alert in await own_alerts(pool)} == set(meters)
    assert await due(pool) == 0


async def test_the_running_stage_learns_between_its_looks(pool: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    await three_to_learn_and_one_known(pool, monkeypatch)
    running = asyncio.create_task(LeakStage(pool, ZONE, SETTINGS).run())
    await until(lambda: pool.fetchval("SELECT NOT EXISTS (SELECT FROM leak_due)"), "nothing is due")
    await ended(running)
    assert len(await own_alerts(pool)) == 4
