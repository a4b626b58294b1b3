"""Takes what gateways tell of commands out of the stream: acknowledged after COMMIT, known again by its id."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import nats.errors
import structlog
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig
from prometheus_client import Counter

from ingest.commands.ledger import write_down
from ingest.commands.life import Said
from metering.command_feed import Told, decode_told
from metering.commands import RECALLS, RESULTS, CommandState, Recall, database_id
from metering.errors import EnvelopeError
from metering.streams import TOLD_DURABLE, TOLD_STREAM, TOLD_SUBJECT

FETCH_MESSAGES = 20
FETCH_TIMEOUT_S = 1.0
ACK_WAIT_S = 30.0
RETRY_S = 2.0
_STATES: Mapping[int, CommandState | Recall] = {**RESULTS, **RECALLS}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_US = 4_102_444_800_000_000
_log = structlog.get_logger()
_unreadable = Counter("nbwater_ingest_command_news_unreadable_total", "Messages on commands that could not be read")


class CommandsTold:
    """A stage of the ingest worker."""

    def __init__(self, pool: Any, js: JetStreamContext) -> None:
        self._pool, self._js = pool, js

    async def run(self) -> None:
        """Until cancelled. What is away (database, NATS) is waited for."""
        while True:
            try:
                await self._consume()
            except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, nats.errors.Error) as error:
                _log.warning("news of commands cannot be taken yet", error=str(error) or type(error).__name__)
            await asyncio.sleep(RETRY_S)

    async def _consume(self) -> None:
        await self._js.add_consumer(
            TOLD_STREAM,
            ConsumerConfig(
                durable_name=TOLD_DURABLE,
                ack_policy=AckPolicy.EXPLICIT,
                ack_wait=ACK_WAIT_S,
                max_deliver=-1,
                max_ack_pending=4 * FETCH_MESSAGES,
                filter_subject=TOLD_SUBJECT,
            ),
        )
        subscription = await self._js.pull_subscribe_bind(TOLD_DURABLE, TOLD_STREAM)
        try:
            while True:
                try:
                    messages = await subscription.fetch(FETCH_MESSAGES, timeout=FETCH_TIMEOUT_S)
                except TimeoutError:
                    continue
                await self._take(messages)
        finally:
            with contextlib.suppress(Exception):  # the connection it belonged to may be gone
                await subscription.unsubscribe()

    async def _take(self, messages: list[Msg]) -> None:
        said = [one for message in messages for one in _read(message.data)]
        if said:
            async with self._pool.acquire() as connection, connection.transaction():
                await write_down(connection, said)
        for message in messages:
            await message.ack()


def _read(body: bytes) -> list[Said]:
    """One that cannot be read is given up: it would come again for ever."""
    try:
        return list(said_of(decode_told(body)))
    except EnvelopeError as error:
        _unreadable.inc()
        _log.error("news of commands cannot be read", error=str(error))
        return []


def said_of(told: Iterable[Told]) -> Iterable[Said]:
    """What is none of our commands, or no result of theirs, is left out."""
    for one in told:
        command_id = database_id(one.command_id)
        state = CommandState.HANDED_OVER if one.result is None else _STATES.get(one.result)
        if command_id is not None and state is not None:
            at = _EPOCH + timedelta(microseconds=min(max(one.at_us, 0), _LAST_US))
            detail = one.reason.replace("\0", "\ufffd")
            yield Said(command_id, one.device, state, at, str(one.door), detail, None, one.event_id)
