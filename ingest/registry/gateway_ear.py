"""Hears what gateways tell of unknown devices and of used keys, and takes it into the database.

Workers share a queue group: each message reaches one of them. What comes while the database is away is lost; gateways
tell again what still matters.
"""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg

from ingest.registry.ending_keys import end_replaced
from ingest.registry.strangers import StrangerTable
from metering.errors import EnvelopeError
from metering.following import Pace
from metering.key_uses import KEYS_USED_SUBJECT, decode_uses
from metering.strangers import STRANGERS_SUBJECT, decode_knocks

QUEUE = "ingest"
PENDING_MESSAGES = 64
"""Of each kind; beyond them the client drops."""

PENDING_BYTES = 4 << 20
FORGET_EVERY_S = 5.0
LOG_PAUSE_S = 10.0

_log = structlog.get_logger()


class GatewayEar:
    """A stage of the ingest worker."""

    def __init__(self, pool: asyncpg.Pool, client: Client) -> None:
        self._pool, self._client = pool, client
        self._table = StrangerTable()
        self._pace = Pace(LOG_PAUSE_S)

    async def run(self) -> None:
        """Until cancelled."""
        for subject, take in ((STRANGERS_SUBJECT, self._strangers), (KEYS_USED_SUBJECT, self._uses)):
            await self._client.subscribe(
                subject,
                QUEUE,
                cb=take,
                pending_msgs_limit=PENDING_MESSAGES,
                pending_bytes_limit=PENDING_BYTES,
            )
        while True:
            await self._in_database(lambda connection: self._table.forget_known(connection))
            await asyncio.sleep(FORGET_EVERY_S)

    async def _strangers(self, message: Msg) -> None:
        try:
            knocks = decode_knocks(message.data)
        except EnvelopeError as error:
            self._complain("strangers_unreadable", error)
            return
        if knocks:
            await self._in_database(lambda connection: self._table.take(connection, knocks))

    async def _uses(self, message: Msg) -> None:
        try:
            uses = decode_uses(message.data)
        except EnvelopeError as error:
            self._complain("key_uses_unreadable", error)
            return
        if uses:
            await self._in_database(lambda connection: end_replaced(connection, uses))

    async def _in_database(self, work: Any) -> None:
        try:
            async with self._pool.acquire() as connection:
                await work(connection)
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            self._complain("gateways_words_lost", error)

    def _complain(self, event: str, error: Exception) -> None:
        if self._pace.allows(asyncio.get_running_loop().time()):
            _log.warning(event, error=type(error).__name__, detail=str(error)[:200])
