"""Says how full the report stream and that of the MQTT listener are, and how old the oldest report is that nobody has
taken yet."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import asyncpg
import nats.errors
import structlog
from nats.js import JetStreamContext
from nats.js.errors import NotFoundError

from metering.clock import now_us
from metering.mqtt_streams import MQTT_STREAM
from metering.streams import UP_STREAM, up_subject

from . import metrics

log = structlog.get_logger()

EVERY_S = 5.0


class StreamWatch:
    """A stage of the ingest program of partition 0, whether or not it holds the lease: a backlog shows when nobody
    works on it, too."""

    def __init__(self, pool: Any, js: JetStreamContext, partitions: int) -> None:
        self._pool, self._js, self._partitions = pool, js, partitions

    async def run(self) -> None:
        """Until cancelled. While the stream or the database is away the last figures stand."""
        while True:
            try:
                await self.look()
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, nats.errors.Error) as error:
                log.warning("stream_not_seen", error=type(error).__name__, detail=str(error)[:200])
            await asyncio.sleep(EVERY_S)

    async def look(self) -> None:
        info = await self._js.stream_info(UP_STREAM)
        metrics.STREAM_MESSAGES.set(info.state.messages)
        metrics.STREAM_BYTES.set(info.state.bytes)
        metrics.STREAM_MAX_BYTES.set(info.config.max_bytes or 0)
        await self._look_at_mqtt()
        rows = await self._pool.fetch(
            "SELECT partition, sequence FROM watermarks WHERE stream_created = $1", info.created
        )
        taken = {row["partition"]: row["sequence"] for row in rows}
        stored = [await self._next_after(taken.get(n, 0), n) for n in range(self._partitions)]
        oldest = min((at for at in stored if at), default=None)
        now = datetime.fromtimestamp(now_us() / 1e6, UTC)
        metrics.OLDEST_UNTAKEN_SECONDS.set(max(0.0, (now - oldest).total_seconds()) if oldest else 0.0)

    async def _look_at_mqtt(self) -> None:
        try:
            info = await self._js.stream_info(MQTT_STREAM)
        except NotFoundError:
            return
        metrics.MQTT_STREAM_BYTES.set(info.state.bytes)
        metrics.MQTT_STREAM_MAX_BYTES.set(max(0, info.config.max_bytes or 0))

    async def _next_after(self, sequence: int, partition: int) -> datetime | None:
        """When the stream stored the partition's first message after this one; None when there is none."""
        try:
            message = await self._js.get_msg(UP_STREAM, seq=sequence + 1, subject=up_subject(partition), next=True)
        except NotFoundError:
            return None
        stored: datetime | None = message.time
        return stored
