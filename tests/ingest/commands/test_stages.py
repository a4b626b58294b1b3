"""Commands between the database and the stream: told to gateways, and ended by what gateways tell."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from typing import Any

import pytest
from nats.js import JetStreamContext
from nats.js.errors import APIError, NotFoundError

from ingest.commands.ledger import expire, write_down
from ingest.commands.life import Said
from ingest.commands.publisher import CommandPublisher, CommandTerm
from ingest.commands.told import CommandsTold
from metering.command_feed import Told, decode_waiting, encode_told
from metering.commands import NOT_RECALLED, RECALLED, CommandKind, CommandState, database_id
from metering.model import Door
from metering.streams import COMMANDS_STREAM, TOLD_STREAM, TOLD_SUBJECT, waiting_subject
from tests.integration.ingest_town import file_command, install, open_pool, state_of, until


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[Any]:
    async with open_pool(database_url) as pool:
        await install(pool, "861")
        await install(pool, "862")
        yield pool


@asynccontextmanager
async def running(stage: Any) -> AsyncIterator[None]:
    task = asyncio.create_task(stage.run())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def publisher(pool: Any, js: JetStreamContext) -> CommandPublisher:
    return CommandPublisher(pool, js, lambda: datetime.now(UTC))


async def waiting(js: JetStreamContext, device: str) -> list[bytes] | None:
    """Ids of what waits as the stream says; None when it says nothing."""
    try:
        message = await js.get_last_msg(COMMANDS_STREAM, waiting_subject(device))
    except NotFoundError:
        return None
    found = decode_waiting(message.data or b"")
    assert found.device == device
    return [command.command_id for command in found.commands]


async def waits(js: JetStreamContext, device: str, *expected: bytes) -> None:
    async def so() -> bool:
        return await waiting(js, device) == list(expected)

    await until(so, f"{expected} wait for {device}")


async def test_what_is_filed_waits_in_order_until_it_ends(js: JetStreamContext, pool: Any) -> None:
    first = await file_command(pool, "861", CommandKind.VALVE, {0: 1})
    async with running(publisher(pool, js)):
        second = await file_command(pool, "861", CommandKind.RAW, {0: b"\x68"})
        await file_command(pool, "862", CommandKind.VALVE, {0: 1}, state="awaiting_approval")
        await waits(js, "861", first, second)
        await pool.execute("UPDATE commands SET state = 'cancelled' WHERE command_id = $1", database_id(first))
        await waits(js, "861", second)
        await pool.execute("UPDATE commands SET state = 'queued' WHERE state = 'awaiting_approval'")
        await until(lambda: waiting(js, "862"))
        await pool.execute("UPDATE commands SET state = 'confirmed'")
        await waits(js, "861")
    assert await pool.fetchval("SELECT count(*) FROM command_outbox") == 0


async def test_a_stream_made_anew_is_told_all_again(js: JetStreamContext, pool: Any) -> None:
    command = await file_command(pool, "861", CommandKind.SET_CLOCK, {0: 1})
    async with running(publisher(pool, js)):
        await waits(js, "861", command)
        config = (await js.stream_info(COMMANDS_STREAM)).config
        await js.delete_stream(COMMANDS_STREAM)
        await js.add_stream(config)
        await waits(js, "861", command)


async def test_who_lost_the_lock_unknowingly_is_refused(js: JetStreamContext, pool: Any) -> None:
    async with pool.acquire() as one, pool.acquire() as other:
        old, new = (CommandTerm(connection, js, lambda: datetime.now(UTC)) for connection in (one, other))
        await old.begin()
        await new.begin()
        await file_command(pool, "861", CommandKind.SET_CLOCK, {0: 1})
        assert await new.round() == 1
        await file_command(pool, "861", CommandKind.SET_CLOCK, {0: 2})
        with pytest.raises(APIError):
            await old.round()


async def test_what_is_overdue_expires_and_waits_no_more(js: JetStreamContext, pool: Any) -> None:
    late = await file_command(pool, "861", CommandKind.SET_CLOCK, {0: 1}, expires_in_s=-1)
    async with running(publisher(pool, js)):
        await until(lambda: pool.fetchval("SELECT state = 'expired' FROM commands"))
        await waits(js, "861")
    event = await pool.fetchrow("SELECT * FROM command_events WHERE command_id = $1", database_id(late))
    assert (event["state"], event["actor"]) == ("expired", "platform")


async def test_news_of_gateways_are_taken_once_and_after_commit(js: JetStreamContext, pool: Any) -> None:
    command = await file_command(pool, "861", CommandKind.VALVE, {0: 1})
    handed = Told(b"1" * 16, 1_767_225_600_000_000, "861", command, None, "", Door.COAP)
    ended = handed._replace(event_id=b"2" * 16, result=1, reason="stuck\0", door=Door.LWM2M)
    await js.publish(TOLD_SUBJECT, encode_told([handed]))
    await js.publish(TOLD_SUBJECT, b"\xff rubbish")
    await js.publish(TOLD_SUBJECT, encode_told([handed, ended]))  # its PubAck got lost: told again
    async with running(CommandsTold(pool, js)):
        await until(lambda: pool.fetchval("SELECT state = 'failed' FROM commands"))
        await until(lambda: _is_empty(js))
    row = await pool.fetchrow("SELECT handovers, handed_over_at FROM commands")
    assert (row["handovers"], row["handed_over_at"].year) == (1, 2026)
    events = await pool.fetch("SELECT state, actor, detail FROM command_events ORDER BY event_id")
    assert [tuple(event) for event in events] == [("handed_over", "coap", ""), ("failed", "lwm2m", "stuck\ufffd")]


async def test_what_a_platform_kept_before_the_cancel_is_known_after_it(js: JetStreamContext, pool: Any) -> None:
    """The device moved to another platform, whose queue gave the command back; the former one still may bring it."""
    command = await file_command(pool, "861", CommandKind.VALVE, {0: 1})
    handed = Told(b"1" * 16, 1_767_225_600_000_000, "861", command, None, "", Door.IOTDA)
    kept = handed._replace(event_id=b"2" * 16, result=NOT_RECALLED, reason="no call for it")
    await js.publish(TOLD_SUBJECT, encode_told([handed, kept]))
    await js.publish(TOLD_SUBJECT, encode_told([handed._replace(event_id=b"3" * 16, door=Door.CTWING)]))
    async with running(CommandsTold(pool, js)):
        await until(lambda: pool.fetchval("SELECT handovers = 2 FROM commands"))
        await pool.execute("UPDATE commands SET state = 'cancelled'")
        back = kept._replace(event_id=b"4" * 16, result=RECALLED, door=Door.CTWING)
        await js.publish(TOLD_SUBJECT, encode_told([back]))
        await until(lambda: pool.fetchval("SELECT count(*) = 1 FROM command_events WHERE state = 'recalled'"))
    noted = await pool.fetch("SELECT state, actor FROM command_events WHERE state LIKE '%recalled' ORDER BY event_id")
    assert [tuple(event) for event in noted] == [("not_recalled", "iotda"), ("recalled", "ctwing")]


async def _is_empty(js: JetStreamContext) -> bool:
    return (await js.stream_info(TOLD_STREAM)).state.messages == 0


async def test_of_what_nobody_knows_the_gateways_are_told_again(js: JetStreamContext, pool: Any) -> None:
    async with pool.acquire() as connection, connection.transaction():
        said = Said(99, "861", CommandState.HANDED_OVER, datetime.now(UTC), "coap", told_id=b"3" * 16)
        assert (await write_down(connection, [said])).unknown == [said]
    assert await pool.fetchval("SELECT count(*) FROM command_outbox") == 1
    async with running(publisher(pool, js)):
        await waits(js, "861")


async def test_nothing_overdue_is_no_work(pool: Any) -> None:
    await file_command(pool, "861", CommandKind.SET_CLOCK, {0: 1})
    async with pool.acquire() as connection:
        assert await expire(connection, datetime.now(UTC)) == 0
    assert await state_of(pool, b"12345678") is None
