"""Flow after a confirmed close raises an alert; a still register, another meter's flow and an open valve do not."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ingest.leaks.closed_valves import FLOW_AFTER_CLOSE, ClosedValveStage
from tests.integration.ingest_town import install, open_pool

CLOSED = datetime(2026, 3, 1, 8, 30, tzinfo=UTC)


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[Any]:
    async with open_pool(database_url) as pool:
        yield pool


async def told(pool: Any, number: int, meter_id: int, valve: int, at: datetime, state: str = "confirmed") -> None:
    await pool.execute(
        "INSERT INTO commands (command_id, device_id, meter_id, kind, arguments, state, filed_by, expires_at,"
        " ended_at) "
        "SELECT $1, device_id, meter_id, 2, jsonb_build_object('0', $3::int), $4, 'wang', $5, $5 "
        "FROM installations WHERE meter_id = $2",
        number, meter_id, valve, state, at,
    )  # fmt: skip


async def count(pool: Any, meter_id: int, litres: list[int]) -> None:
    """Hourly readings from the hour before the close on."""
    first = CLOSED - timedelta(minutes=30)
    await pool.executemany(
        "INSERT INTO readings (meter_id, ts, kind, index_ml) VALUES ($1, $2, 0, $3)",
        [(meter_id, first + timedelta(hours=n), 1000 * litre) for n, litre in enumerate(litres)],
    )


async def found(pool: Any) -> list[Any]:
    await ClosedValveStage(pool).check()
    return await pool.fetch("SELECT * FROM alerts ORDER BY meter_id")


async def test_flow_after_a_close_is_an_alert_until_it_is_opened(pool: Any) -> None:
    leaking, still, open_, failed = [await install(pool, str(n)) for n in range(1001, 1005)]
    for n, (meter, valve, state) in enumerate(
        [(leaking, 1, "confirmed"), (still, 1, "confirmed"), (open_, 0, "confirmed"), (failed, 1, "failed")]
    ):
        await told(pool, n, meter, valve, CLOSED, state)
    for meter in (leaking, open_, failed):
        await count(pool, meter, [100, 150, 152, 160])  # 50 L before the valve closed
    await count(pool, still, [100, 150, 150, 151])
    (alert,) = await found(pool)
    assert (alert["meter_id"], alert["kind"], alert["severity"]) == (leaking, FLOW_AFTER_CLOSE, "critical")
    assert (alert["rate_ml_h"], alert["loss_ml"]) == (5000, 10_000)
    await found(pool)
    await told(pool, 10, leaking, 0, CLOSED + timedelta(hours=5))
    (alert,) = await found(pool)
    assert alert["ended_at"] == CLOSED + timedelta(hours=5)
