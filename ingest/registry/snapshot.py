"""The snapshot of the registry: the whole of it as one object, naming the feed position that it contains.

The object store of NATS keeps an object as chunks of their own subject, each acknowledged, and purges the chunks of
the object before once the new one is complete. A reader who is in the middle of the old one then waits for chunks that
never come: readers need a deadline and another try. Writers need room for two.
"""

from __future__ import annotations

import tempfile
from typing import NamedTuple

import asyncpg
import cbor2
from nats.js import JetStreamContext
from nats.js.api import ObjectMeta, ObjectMetaOptions
from nats.js.errors import NotFoundError

from ingest.registry.entries import every_entry
from metering.registry import FEED_CREATED_HEADER, FEED_POSITION_HEADER, SNAPSHOT_OBJECT
from metering.streams import REGISTRY_STREAM, SNAPSHOT_BUCKET

CHUNK_BYTES = 512 * 1024
"""Below nats-server's 1 MB for one message."""

SPOOL_BYTES = 8 * 1024 * 1024
"""A larger snapshot waits in a temporary file, not in memory."""

_CBOR_ARRAY = 4


class Feed(NamedTuple):
    """The feed as it stands: the life it counts in and the first and last message that it holds."""

    created: str
    first: int
    last: int


class Snapshot(NamedTuple):
    """The newest snapshot: the life of the feed and the position in it, its entries (-1: not known) and bytes."""

    created: str
    position: int
    entries: int
    size_bytes: int


async def feed_state(js: JetStreamContext) -> Feed:
    info = await js.stream_info(REGISTRY_STREAM)
    return Feed(str(info.created), info.state.first_seq, info.state.last_seq)


async def newest_snapshot(js: JetStreamContext) -> Snapshot | None:
    """None: there is none that can be used."""
    store = await js.object_store(SNAPSHOT_BUCKET)
    try:
        info = await store.get_info(SNAPSHOT_OBJECT)
    except NotFoundError:
        return None
    headers = info.headers or {}
    try:
        position = int(headers[FEED_POSITION_HEADER])
    except (KeyError, ValueError):
        return None
    return Snapshot(headers.get(FEED_CREATED_HEADER, ""), position, -1, info.size or 0)


async def write_snapshot(connection: asyncpg.Connection, js: JetStreamContext) -> Snapshot:
    """Put a new snapshot in the place of the old. The feed's position is read first: what it holds was committed
    before it was published, so the database read afterwards contains it."""
    feed = await feed_state(js)
    store = await js.object_store(SNAPSHOT_BUCKET)
    headers = {FEED_POSITION_HEADER: str(feed.last), FEED_CREATED_HEADER: feed.created}
    meta = ObjectMeta(headers=headers, options=ObjectMetaOptions(max_chunk_size=CHUNK_BYTES))
    with tempfile.SpooledTemporaryFile(SPOOL_BYTES) as spool:
        entries = await _spool(connection, spool)
        spool.seek(0)
        info = await store.put(SNAPSHOT_OBJECT, spool, meta)  # type: ignore[arg-type]  # it is read by readinto
    return Snapshot(feed.created, feed.last, entries, info.size or 0)


async def _spool(connection: asyncpg.Connection, spool: tempfile.SpooledTemporaryFile[bytes]) -> int:
    """One CBOR array of all entries, as `metering.registry.encode_entries` makes it, portion by portion."""
    encoder = cbor2.CBOREncoder(spool)
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        count: int = await connection.fetchval("SELECT count(*) FROM devices")
        encoder.encode_length(_CBOR_ARRAY, count)
        async for entries in every_entry(connection):
            spool.write(b"".join(cbor2.dumps(list(entry)) for entry in entries))
    return count
