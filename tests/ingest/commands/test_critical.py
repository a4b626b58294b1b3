"""Closes of valves that a critical customer takes back, through the real publisher."""

from __future__ import annotations

from typing import Any

import pytest
from nats.js import JetStreamContext

from ingest.commands.critical import REASON, TOLD_REASON
from metering.commands import CommandKind, database_id
from tests.ingest.commands.test_stages import pool, publisher, running, waits  # noqa: F401 - pool is a fixture
from tests.integration.ingest_town import file_command, state_of, until


@pytest.mark.parametrize("state", ["awaiting_approval", "queued", "handed_over"])
async def test_a_close_is_taken_back_whatever_its_state(js: JetStreamContext, pool: Any, state: str) -> None:  # noqa: F811 - a fixture
    close = await file_command(pool, "861", CommandKind.VALVE, {0: 1}, state=state)
    frame = await file_command(pool, "861", CommandKind.RAW, {0: b"\x68"}, state=state)
    opening = await file_command(pool, "861", CommandKind.VALVE, {0: 0})
    other = await file_command(pool, "862", CommandKind.VALVE, {0: 1})
    async with running(publisher(pool, js)):
        await waits(js, "862", other)
        await pool.execute(
            "UPDATE service_points p SET critical = true FROM installations i JOIN devices d USING (device_id) "
            "WHERE i.service_point_id = p.service_point_id AND d.device = '861'"
        )
        await waits(js, "861", opening)
        await until(lambda: _is(pool, close, "cancelled"))
    assert [await state_of(pool, one) for one in (frame, opening, other)] == ["cancelled", "queued", "queued"]
    row = await pool.fetchrow("SELECT actor, detail FROM command_events WHERE command_id = $1", database_id(close))
    assert tuple(row) == ("platform", TOLD_REASON if state == "handed_over" else REASON)


async def test_one_that_is_queued_at_a_critical_customer_is_never_told(js: JetStreamContext, pool: Any) -> None:  # noqa: F811 - a fixture
    """Filed by a transaction that did not see the flag yet."""
    await pool.execute("UPDATE service_points SET critical = true")
    close = await file_command(pool, "861", CommandKind.VALVE, {0: 1})
    async with running(publisher(pool, js)):
        await until(lambda: _is(pool, close, "cancelled"))
        await waits(js, "861")
    assert (await js.stream_info("COMMANDS")).state.messages <= 2


async def _is(pool: Any, command: bytes, state: str) -> bool:  # noqa: F811 - the fixture's value
    return await state_of(pool, command) == state
