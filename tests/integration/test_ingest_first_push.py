"""The first push for a device binds its product, whatever is beside it, and costs nobody else anything."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from nats.js import JetStreamContext

from ingest.dead_letters import Replayed, replay
from metering.model import Authentication
from metering.pushers import BINDING_LOCK
from tests.integration.ingest_town import (
    DEADLINE_S,
    FIRST_S,
    HOUR_S,
    UNWRITABLE_SEQ,
    ZONE,
    accounts_hold,
    install,
    native,
    publish,
    refuse_a_row,
    report,
    settings,
    take_all,
)


async def test_a_first_push_beside_a_row_that_cannot_be_written_binds(
    js: JetStreamContext, pool: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a transaction bound that was rolled back must not be believed by the next one."""
    await install(pool, "1001")
    await install(pool, "1002")
    refuse_a_row(monkeypatch)
    first = report("1001", native(1, FIRST_S, [1]))._replace(
        authentication=Authentication.FIRST_PUSHER, source="east 10.0.0.1"
    )
    await take_all(pool, js, await publish(js, first, report("1002", native(UNWRITABLE_SEQ, FIRST_S, [1]))))
    assert await pool.fetchval("SELECT count(*) FROM reports WHERE outcome = 'stored'") == 1
    assert await pool.fetch("SELECT product FROM pusher_bindings") == [("east",)]
    await accounts_hold(pool)


async def test_pushes_for_devices_that_were_heard_before_wait_for_no_lock_of_bindings(
    js: JetStreamContext, pool: Any
) -> None:
    """A city that moves to a platform would hold it all day, and with it every other partition."""
    await install(pool, "1001")
    await take_all(pool, js, await publish(js, report("1001", native(1, FIRST_S, [1]))))
    pushed = report("1001", native(2, FIRST_S + HOUR_S, [2]))._replace(
        authentication=Authentication.FIRST_PUSHER, source="east 10.0.0.1"
    )
    async with pool.acquire() as other, other.transaction():
        await other.execute("SELECT pg_advisory_xact_lock($1)", BINDING_LOCK)
        taking = asyncio.create_task(take_all(pool, js, await publish(js, pushed)))
        done, _ = await asyncio.wait([taking], timeout=DEADLINE_S / 2)
    await taking
    assert done, "it waited until the lock was free"
    assert await pool.fetch("SELECT FROM pusher_bindings") == []
    await accounts_hold(pool)


async def test_a_first_push_replayed_beside_a_row_that_cannot_be_written_binds(
    js: JetStreamContext, pool: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same of dead letters."""
    import ingest.dead_letters as dead_letters

    first = report("1001", native(1, FIRST_S, [1]))._replace(
        authentication=Authentication.FIRST_PUSHER, source="east 10.0.0.1"
    )
    await take_all(pool, js, await publish(js, first, report("1002", native(13, FIRST_S, [1]))))
    await install(pool, "1001")
    await install(pool, "1002")
    good = dead_letters.ended_row

    def bad_row(end: Any, sequence: int | None) -> tuple[Any, ...]:
        if end.placed.content.seq == 13:
            raise ValueError("no row can hold this")
        return good(end, sequence)

    monkeypatch.setattr(dead_letters, "ended_row", bad_row)
    assert await replay(pool, settings(), ZONE) == Replayed(stored=1, dead_lettered=1)
    assert await pool.fetch("SELECT product FROM pusher_bindings") == [("east",)]
    await accounts_hold(pool)
