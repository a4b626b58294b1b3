"""What is in the stream and not yet taken: the "in flight" of the accounting, counted without reading a report.

Each stream message says in its header how many reports it holds. Headers above each partition's watermark are read,
counted once and remembered, up to a bound; beyond it the answer is "at least". When NATS is away the answer is
"unknown", never zero.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import nats.errors
import structlog
from nats.js.errors import APIError
from nats.js.errors import Error as JetStreamError
from prometheus_client import Counter

from api.database import ReadPool
from metering.envelope import REPORTS_HEADER
from metering.errors import UnavailableError
from metering.streams import COUNTERS, UP_STREAM, partition_of

log = structlog.get_logger()

MAX_HEADERS = 20_000
"""Stream messages whose headers one count reads at most."""
FETCH = 500
TIMEOUT_S = 3.0
CACHE_S = 2.0
_AWAY = (nats.errors.Error, JetStreamError, TimeoutError, OSError)

COUNTS = Counter("nbwater_api_in_flight_counts_total", "Counts of reports in flight by result", ["result"])


@dataclass(frozen=True, slots=True)
class InFlight:
    """`reports`, `batches` None: unknown, NATS or the database is away. `at_least`: counting stopped at its bound."""

    reports: int | None
    batches: int | None
    at_least: bool
    as_of: datetime
    oldest_at: datetime | None = None
    """When the stream took the oldest of them."""


@dataclass(frozen=True, slots=True)
class StreamState:
    messages: int
    bytes: int
    max_bytes: int
    """At it the stream refuses; below 0: unlimited."""


@dataclass(frozen=True, slots=True)
class _Part:
    """What was counted."""

    reports: int = 0
    batches: int = 0
    at_least: bool = False
    oldest_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class _Watermark:
    partition: int
    sequence: int
    stream_created: datetime | None


class InFlightReader:
    """`client` is a connected or connecting `nats.aio.client.Client`, set when there is one."""

    def __init__(self, pool: ReadPool, partitions: int) -> None:
        self._pool, self._partitions = pool, partitions
        self.client: Any = None
        self._counted: InFlight | None = None
        self._counted_at = -CACHE_S
        self._lock = asyncio.Lock()

    @property
    def connected(self) -> bool:
        return bool(self.client is not None and self.client.is_connected)

    async def stream_answers(self) -> bool:
        """Whether the report stream can be asked at this moment."""
        return await self.state() is not None

    async def state(self) -> StreamState | None:
        """How full the report stream is; None when it cannot be asked at this moment."""
        if not self.connected:
            return None
        try:
            info = await self.client.jetstream(timeout=TIMEOUT_S).stream_info(UP_STREAM)
        except _AWAY:
            return None
        return StreamState(info.state.messages, info.state.bytes, info.config.max_bytes or -1)

    async def in_flight(self) -> InFlight:
        """At most `CACHE_S` old; callers at the same time share one count."""
        async with self._lock:
            if self._counted is None or time.monotonic() - self._counted_at > CACHE_S:
                self._counted, self._counted_at = await self._count(), time.monotonic()
            return self._counted

    async def _count(self) -> InFlight:
        now = datetime.now(UTC)
        if not self.connected:
            COUNTS.labels("unknown").inc()
            return InFlight(None, None, False, now)
        try:
            async with asyncio.timeout(2 * TIMEOUT_S):
                found = await self._read_all()
        except (*_AWAY, UnavailableError) as error:
            COUNTS.labels("unknown").inc()
            log.warning("in_flight_unknown", error=type(error).__name__)
            return InFlight(None, None, False, now)
        COUNTS.labels("at_least" if found.at_least else "exact").inc()
        return InFlight(found.reports, found.batches, found.at_least, now, found.oldest_at)

    async def _read_all(self) -> _Part:
        js = self.client.jetstream(timeout=TIMEOUT_S)
        # The watermarks are read first: what is taken meanwhile is then counted as in flight for a moment longer,
        # never as gone while it is nowhere.
        rows = await self._pool.fetch(_Watermark, "SELECT partition, sequence, stream_created FROM watermarks")
        watermarks = {row.partition: row for row in rows}
        info = await js.stream_info(UP_STREAM)
        starts = {}
        for partition in range(self._partitions):
            mark = watermarks.get(partition)
            starts[partition] = mark.sequence + 1 if mark and _same_life(mark, info.created) else 1
        start = max(1, info.state.first_seq, min(starts.values()))
        return await self._read(js, start, info.state.last_seq, starts) if start <= info.state.last_seq else _Part()

    async def _read(self, js: Any, start: int, last: int, starts: Mapping[int, int]) -> _Part:
        """What the messages from `start` to `last` hold, each partition's from where it starts, up to the bound.

        By a consumer that is there already: it shows headers only, and is set to where it has to begin.
        """
        name = secrets.choice(COUNTERS)
        await self._set(name, start)
        subscription = await js.pull_subscribe_bind(name, UP_STREAM)
        reports = batches = read = 0
        oldest_at: datetime | None = None
        sequence = start - 1
        try:
            while sequence < last and read < MAX_HEADERS:
                for message in await subscription.fetch(min(FETCH, MAX_HEADERS - read, last - sequence), TIMEOUT_S):
                    sequence, read = message.metadata.sequence.stream, read + 1
                    if sequence >= starts.get(partition_of(message.subject), start):
                        oldest_at = oldest_at or message.metadata.timestamp
                        reports += _reports_in(message.headers)
                        batches += 1
        finally:
            await subscription.unsubscribe()
        return _Part(reports, batches, sequence < last, oldest_at)

    async def _set(self, counter: str, sequence: int) -> None:
        """Let a counter begin at this sequence. Raises as nats-py does."""
        asked = json.dumps({"seq": sequence}).encode()
        answer = await self.client.request(f"$JS.API.CONSUMER.RESET.{UP_STREAM}.{counter}", asked, timeout=TIMEOUT_S)
        if error := json.loads(answer.data).get("error"):
            raise APIError.from_error(error)


def _same_life(mark: _Watermark, created: datetime | None) -> bool:
    """A watermark counts only in the life of the stream it was written for."""
    return mark.stream_created is None or created is None or abs((mark.stream_created - created).total_seconds()) < 1


def _reports_in(headers: dict[str, str] | None) -> int:
    text = (headers or {}).get(REPORTS_HEADER, "")
    return int(text) if text.isdecimal() else 1
