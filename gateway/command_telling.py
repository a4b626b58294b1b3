"""Tells ingest, durably, what became of commands: collected for a moment, published with its PubAck awaited.

Bounded: while the stream takes nothing, news of handing over are dropped at half of the bound (the meter's own result
says more), and how commands ended at the whole of it. A process that is killed may forget what it has not published
yet: then the command is handed over once more, under the same id.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from collections.abc import Callable, Sequence

import nats.errors
import structlog

from gateway.link import StreamLink
from metering.command_feed import EVENT_ID_BYTES, MAX_REASON_CHARACTERS, Told, encode_told
from metering.commands import NOT_RECALLED, RECALLED
from metering.model import Door
from metering.streams import TOLD_STREAM, TOLD_SUBJECT

MAX_QUEUED = 20_000
MAX_BATCH = 500
"""At ~400 bytes at most, far below nats-server's 1 MB for one message."""

COLLECT_S = 0.05
PUBLISH_TIMEOUT_S = 5.0
RETRY_PAUSE_S = 1.0
_log = structlog.get_logger()


class CommandTelling:
    """`run` publishes; `clock_us` gives Unix microseconds."""

    def __init__(self, link: StreamLink, clock_us: Callable[[], int], max_queued: int = MAX_QUEUED) -> None:
        self._link, self._clock_us, self._max_queued = link, clock_us, max_queued
        self._queue: deque[Told] = deque()
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self.dropped = 0

    def __len__(self) -> int:
        """Told and not yet on disk."""
        return len(self._queue)

    def handed_over(self, device: str, command_id: bytes, door: Door) -> None:
        self._add(device, command_id, None, "", door, self._max_queued // 2)

    def ended(self, device: str, command_id: bytes, result: int, reason: str, door: Door) -> None:
        self._add(device, command_id, result, reason[:MAX_REASON_CHARACTERS], door, self._max_queued)

    def recalled(self, device: str, command_id: bytes, succeeded: bool, reason: str, door: Door) -> None:
        result = RECALLED if succeeded else NOT_RECALLED
        self._add(device, command_id, result, reason[:MAX_REASON_CHARACTERS], door, self._max_queued)

    def _add(self, device: str, command_id: bytes, result: int | None, reason: str, door: Door, bound: int) -> None:
        if len(self._queue) >= bound:
            self.dropped += 1
            return
        event_id = secrets.token_bytes(EVENT_ID_BYTES)
        self._queue.append(Told(event_id, self._clock_us(), device, command_id, result, reason, door))
        self._idle.clear()
        self._wake.set()

    async def run(self) -> None:
        """Publish what is told, until cancelled."""
        while True:
            await self._wake.wait()
            await asyncio.sleep(COLLECT_S)
            while self._queue:
                await self._publish_some()
            self._wake.clear()
            self._idle.set()

    async def drained(self) -> None:
        """Returns when all that was told is on disk."""
        await self._idle.wait()

    async def _publish_some(self) -> None:
        """One batch, again and again until it is on disk: always the same, for the stream knows it by its first id."""
        batch = [self._queue[at] for at in range(min(MAX_BATCH, len(self._queue)))]
        while True:
            if await self._published(batch):
                break
            await asyncio.sleep(RETRY_PAUSE_S)
        for _ in batch:
            self._queue.popleft()

    async def _published(self, batch: Sequence[Told]) -> bool:
        try:
            await self._link.connected.wait()
            await self._link.js.publish(
                TOLD_SUBJECT,
                encode_told(batch),
                timeout=PUBLISH_TIMEOUT_S,
                stream=TOLD_STREAM,
                headers={"Nats-Msg-Id": batch[0].event_id.hex()},
            )
        except (nats.errors.Error, OSError, TimeoutError) as error:
            _log.warning("what became of commands cannot be told yet", told=len(batch), error=repr(error))
            return False
        return True
