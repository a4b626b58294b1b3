"""Carries the registry's changes from the database's outbox to the gateways (DESIGN section 3.8).

Every change goes through the feed, thousands of devices in one message, so that a gateway that listens misses nothing;
snapshots only shorten the way of one that starts. Rows of the outbox are deleted after the PubAck: a crash between the
two repeats the message, and an entry that is applied twice changes nothing.

One worker publishes: the one that holds an advisory lock on the connection it reads with. Should it lose that
connection and not notice, its next message is refused, because each names the feed position it expects to follow: an
old state of a device never comes after a newer one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

import asyncpg
import structlog
from nats.js import JetStreamContext
from nats.js.api import Header
from prometheus_client import Counter, Gauge

from ingest.publishing import publish_alone
from ingest.registry.ending_keys import EXPIRY_EVERY_S, end_expired
from ingest.registry.entries import entries_of
from ingest.registry.snapshot import Feed, Snapshot, feed_state, newest_snapshot, write_snapshot
from metering.registry import RegistryEntry, encode_entries
from metering.streams import REGISTRY_STREAM, REGISTRY_SUBJECT

LOCK = 0x6E6277726567
"""Advisory lock of the one who publishes ("nbwreg" in ASCII)."""

POLL_S = 0.5
PUBLISH_TIMEOUT_S = 10.0
ROWS_PER_ROUND = 5_000
ENTRIES_PER_MESSAGE = 2_500
"""At most ~100 bytes each, far below nats-server's 1 MB for one message."""

SNAPSHOT_AFTER_ENTRIES = 50_000
SNAPSHOT_AFTER_MESSAGES = 1_000
"""A gateway that starts reads no more than this of the feed."""

_log = structlog.get_logger()
_published = Counter("nbwater_ingest_registry_published_entries_total", "Entries published to the registry feed")
_backlog = Gauge("nbwater_ingest_registry_backlog_rows", "Rows of the outbox taken into the latest round (bounded)")
_snapshot_bytes = Gauge("nbwater_ingest_registry_snapshot_bytes", "Size of the newest registry snapshot")
_snapshot_position = Gauge("nbwater_ingest_registry_snapshot_position", "Feed position of the newest snapshot")


class RegistryPublisher:
    """A stage of the ingest worker. Keeps one connection of `pool` while it publishes."""

    def __init__(self, pool: asyncpg.Pool, js: JetStreamContext) -> None:
        self._pool, self._js = pool, js

    async def run(self) -> None:
        """Until cancelled. What is away (database, NATS) is waited for."""
        await publish_alone(self._pool, LOCK, "registry", self._publish)

    async def _publish(self, connection: asyncpg.Connection) -> None:
        term = Term(connection, self._js)
        await term.begin()
        clock = asyncio.get_running_loop().time
        looked_s = float("-inf")
        while True:
            if clock() - looked_s >= EXPIRY_EVERY_S:
                await end_expired(connection, datetime.now(UTC))
                looked_s = clock()
            if not await term.round():
                await asyncio.sleep(POLL_S)


class Term:
    """The work of one holder of the lock."""

    def __init__(self, connection: asyncpg.Connection, js: JetStreamContext) -> None:
        self._connection, self._js = connection, js
        self._last = 0
        self._entries_since_snapshot = 0
        self._snapshot_position = 0

    async def begin(self) -> None:
        """Take up the feed where it stands; write a snapshot when there is none that leads to it."""
        feed = await feed_state(self._js)
        self._last = feed.last
        snapshot = await newest_snapshot(self._js)
        if snapshot is None or not leads_to(snapshot, feed):
            await self._snapshot()
        else:
            self._snapshot_position = snapshot.position

    async def round(self) -> int:
        """Publish one portion of the outbox; how many rows it had."""
        rows = await self._connection.fetch(
            "SELECT outbox_id, device FROM outbox ORDER BY outbox_id LIMIT $1", ROWS_PER_ROUND
        )
        _backlog.set(len(rows))
        if rows:
            devices = list(dict.fromkeys(row["device"] for row in rows))
            for entries in portions(await entries_of(self._connection, devices)):
                await self._publish(entries)
            await self._connection.execute(
                "DELETE FROM outbox WHERE outbox_id = ANY($1::bigint[])", [row["outbox_id"] for row in rows]
            )
        if len(rows) < ROWS_PER_ROUND and self._is_snapshot_due():
            await self._snapshot()
        return len(rows)

    async def _publish(self, entries: Sequence[RegistryEntry]) -> None:
        headers = {Header.EXPECTED_LAST_SEQUENCE.value: str(self._last)}
        ack = await self._js.publish(
            REGISTRY_SUBJECT,
            encode_entries(entries),
            timeout=PUBLISH_TIMEOUT_S,
            stream=REGISTRY_STREAM,
            headers=headers,
        )
        self._last = ack.seq
        self._entries_since_snapshot += len(entries)
        _published.inc(len(entries))

    def _is_snapshot_due(self) -> bool:
        return (
            self._entries_since_snapshot >= SNAPSHOT_AFTER_ENTRIES
            or self._last - self._snapshot_position >= SNAPSHOT_AFTER_MESSAGES
        )

    async def _snapshot(self) -> None:
        snapshot = await write_snapshot(self._connection, self._js)
        self._snapshot_position, self._entries_since_snapshot = snapshot.position, 0
        _snapshot_bytes.set(snapshot.size_bytes)
        _snapshot_position.set(snapshot.position)
        _log.info("registry snapshot written", **snapshot._asdict())


def leads_to(snapshot: Snapshot, feed: Feed) -> bool:
    """Whether a reader of the snapshot finds all that follows it in the feed."""
    return snapshot.created == feed.created and feed.first - 1 <= snapshot.position <= feed.last


def portions(entries: Sequence[RegistryEntry]) -> Iterator[Sequence[RegistryEntry]]:
    for start in range(0, len(entries), ENTRIES_PER_MESSAGE):
        yield entries[start : start + ENTRIES_PER_MESSAGE]
