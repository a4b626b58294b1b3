"""Removes from the stream what nobody can need again; the only one that does (DESIGN section 3.3)."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import nats.errors
import structlog
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from nats.js.errors import NotFoundError

from metering.clock import now_us
from metering.streams import TRIMMER_PROBE, UP_STREAM

from . import metrics
from .restore_points import held_sequences

log = structlog.get_logger()

TRIM_EVERY_S = 30.0
JUST_AFTER = timedelta(microseconds=1)
"""The stream's times are finer than ours: the newest message is then before it."""


def keep_from(
    partitions: int, watermarks: Mapping[int, int], restore_points: Iterable[int], first_young: int
) -> int | None:
    """The first stream sequence to keep; None when nothing may be removed.

    `watermarks` has the sequence of each partition that counts in this life of the stream. A purge is by sequence and
    the partitions share one stream, so the slowest of them, the oldest restore point of any and the first young
    message decide; a partition that never began holds everything.
    """
    if any(partition not in watermarks for partition in range(partitions)):
        return None
    return min([sequence + 1 for sequence in (*watermarks.values(), *restore_points)] + [first_young])


class Trimmer:
    """Purges now and then. `keep_stream_h` hours of the stream are kept whatever the watermark says, so that a
    database restored from a backup of that age catches up."""

    def __init__(self, pool: Any, js: JetStreamContext, partitions: int, keep_stream_h: float) -> None:
        self._pool, self._js, self._partitions = pool, js, partitions
        self._keep = timedelta(hours=keep_stream_h)

    async def run(self) -> None:
        """Until cancelled. An absent database or stream is waited for: nothing is removed meanwhile."""
        while True:
            try:
                await self.trim()
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, nats.errors.Error) as error:
                metrics.TRIMS.labels("put_off").inc()
                log.warning("trim_put_off", error=type(error).__name__, detail=str(error)[:200])
            await asyncio.sleep(TRIM_EVERY_S)

    async def trim(self) -> int:
        """Remove what may go; returns the first sequence that the stream has then."""
        info = await self._js.stream_info(UP_STREAM)
        if not info.state.messages:
            return int(info.state.first_seq)
        rows = await self._pool.fetch(
            "SELECT partition, sequence FROM watermarks WHERE stream_created = $1", info.created
        )
        points = await held_sequences(self._pool, info.created)
        watermarks = {row["partition"]: row["sequence"] for row in rows}
        first_young = await self._first_since(await self._now(info.state.last_seq) - self._keep)
        first = keep_from(self._partitions, watermarks, points, first_young)
        if first is None or first <= max(1, info.state.first_seq):  # of a stream that never held anything it is 0
            return int(info.state.first_seq)
        await self._js.purge_stream(UP_STREAM, seq=first)
        metrics.TRIMS.labels("trimmed").inc()
        metrics.TRIMMED_SEQUENCE.set(first)
        log.info("stream_trimmed", below=first, messages=first - info.state.first_seq)
        return first

    async def _now(self, last_sequence: int) -> datetime:
        """By our clock, but not later than just after the newest message by the stream's: a clock of ours that is days
        ahead must not make all that was ever sent look old."""
        newest = (await self._js.get_msg(UP_STREAM, last_sequence)).time
        ours = datetime.fromtimestamp(now_us() / 1e6, UTC)
        return ours if newest is None else min(ours, newest + JUST_AFTER)

    async def _first_since(self, instant: datetime) -> int:
        """Sequence of the first message that the stream took at or after this time; one past the last when none.

        A consumer that starts at a time tells it without reading anything.
        """
        await self._drop_probe()
        info = await self._js.add_consumer(
            UP_STREAM,
            ConsumerConfig(
                name=TRIMMER_PROBE,
                deliver_policy=DeliverPolicy.BY_START_TIME,
                opt_start_time=instant,
                ack_policy=AckPolicy.NONE,
                inactive_threshold=TRIM_EVERY_S,
                mem_storage=True,
                headers_only=True,
            ),
        )
        await self._drop_probe()
        return int(info.delivered.stream_seq) + 1 if info.delivered else 1

    async def _drop_probe(self) -> None:
        with contextlib.suppress(NotFoundError):
            await self._js.delete_consumer(UP_STREAM, TRIMMER_PROBE)
