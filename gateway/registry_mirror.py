"""Keeps `Devices` equal to the registry: snapshot, then feed, then snapshot again when the feed has a gap.

Nothing here ever makes the gateway forget what it knows: while NATS is away it serves with what it has.
"""

from __future__ import annotations

import asyncio
import base64
import gc
from collections.abc import AsyncIterator

import nats.errors
import structlog
from nats.js.api import Header, ObjectInfo, RawStreamMsg
from nats.js.errors import NotFoundError, ObjectNotFoundError

from gateway.devices import Devices
from gateway.link import StreamLink
from gateway.snapshot_reader import SnapshotReader
from metering.errors import EnvelopeError
from metering.registry import (
    FEED_CREATED_HEADER,
    FEED_POSITION_HEADER,
    SNAPSHOT_OBJECT,
    decode_entries,
)
from metering.streams import OBJECTS_STREAM, REGISTRY_STREAM, REGISTRY_SUBJECT, SNAPSHOT_BUCKET

RETRY_PAUSE_S = 1.0
POLL_S = 0.5
"""A change is known so much later, as a rule."""
CHECK_EVERY_S = 5.0
"""The feed is compared with its stream this often, which finds a stream made anew."""

ENTRIES_PER_TURN = 2000
"""Entries applied before the event loop may answer meters."""

ENTRY_BYTES_MIN = 6
"""Of the shortest entry there can be: a snapshot that claims more of them than fit is not given their memory."""

WASTE_MIN = 100_000
"""Unused names that are borne with, beside as many as there are devices."""

_log = structlog.get_logger()


class _GapError(Exception):
    """The feed does not continue where the mirror stands: only a snapshot helps."""


class RegistryMirror:
    """`run` is the task; `position` is the last message of the feed that `devices` contain."""

    def __init__(self, link: StreamLink, devices: Devices) -> None:
        self._link, self._devices = link, devices
        self.position = 0
        self._feed_created = ""
        self.lag = 0
        """Messages of the feed not applied yet, as last seen."""
        self.snapshots = 0
        self.rejected = 0
        """Feed messages that were no registry entries."""

    async def run(self) -> None:
        """Mirror until cancelled."""
        loaded = False
        while True:
            await self._link.connected.wait()
            try:
                if not loaded:
                    await self._load_snapshot()
                    loaded = True
                await self._follow_feed()
            except _GapError as gap:
                _log.warning("the registry feed has a gap, loading the snapshot", position=self.position, gap=str(gap))
                loaded = False
            except ObjectNotFoundError:
                _log.info("no registry snapshot yet, waiting for ingest to write one")
            except (nats.errors.Error, OSError, TimeoutError, EnvelopeError) as error:
                _log.warning("the registry cannot be read, trying again", error=repr(error))
            else:
                continue
            self._devices.complete = False
            await asyncio.sleep(RETRY_PAUSE_S)

    async def _load_snapshot(self) -> None:
        """Beside what is known, which is replaced at once when the whole snapshot has come and is what was written.

        Each step has nats-py's deadline; all together have none, for a busy machine must get there as well.
        """
        objects = await self._link.js.object_store(SNAPSHOT_BUCKET)
        info = await objects.get_info(SNAPSHOT_OBJECT)
        position, reader = _feed_position(info), SnapshotReader()
        fresh: Devices | None = None
        async for chunk in self._chunks(info):
            for count, entry in enumerate(reader.read(chunk), 1):
                fresh = fresh or Devices(min(reader.entries, (info.size or 0) // ENTRY_BYTES_MIN))
                fresh.apply(entry)
                if count % ENTRIES_PER_TURN == 0:
                    await asyncio.sleep(0)
        reader.finish(base64.urlsafe_b64decode((info.digest or "").partition("=")[2]))
        self._devices.replace(fresh or Devices())
        gc.collect()
        gc.freeze()  # what lives from now on lives long: no collection has to look at it again
        self.position, self._feed_created = position, (info.headers or {}).get(FEED_CREATED_HEADER, "")
        self.snapshots += 1
        _log.info("registry snapshot loaded", devices=len(self._devices), position=position)

    async def _chunks(self, info: ObjectInfo) -> AsyncIterator[bytes]:
        """The object's bytes. nats-py's own `get` looks the stream up by subject, for which a gateway has no right."""
        if not info.size:
            return
        subject, after = f"$O.{SNAPSHOT_BUCKET}.C.{info.nuid}", 0
        for _ in range(info.chunks or 0):
            chunk = await self._link.js.get_msg(OBJECTS_STREAM, after + 1, subject, direct=True, next=True)
            after = chunk.seq or 0
            yield chunk.data or b""

    async def _follow_feed(self) -> None:
        """Apply changes in order for as long as they continue where the mirror stands. Raises _GapError, nats errors.

        They are asked for one by one. A consumer would need the right to make one, and who makes a consumer may have it
        deliver to any subject: to the feed itself, say.
        """
        clock = asyncio.get_running_loop().time
        checked = float("-inf")
        while True:
            if self._devices.waste > WASTE_MIN + len(self._devices):
                raise _GapError("names that are no longer used take too much room")
            if clock() - checked >= CHECK_EVERY_S:
                await self._check_stream()
                self._note_completeness()
                checked = clock()
            message = await self._next_change()
            if message is None:
                await asyncio.sleep(POLL_S)
                continue
            if message.seq != self.position + 1:
                raise _GapError(f"message {message.seq} comes next")
            self._apply(message)
            self.lag = max(0, self.lag - 1)
            self._note_completeness()

    async def _next_change(self) -> RawStreamMsg | None:
        """The message after those that were applied; None when there is none yet."""
        try:
            return await self._link.js.get_msg(
                REGISTRY_STREAM, self.position + 1, REGISTRY_SUBJECT, direct=True, next=True
            )
        except NotFoundError:
            return None

    def _note_completeness(self) -> None:
        if self.lag == 0:
            self._devices.ready = self._devices.complete = True

    async def _check_stream(self) -> None:
        info = await self._link.js.stream_info(REGISTRY_STREAM)
        state = info.state
        if self._feed_created not in ("", str(info.created)):
            raise _GapError(f"the snapshot belongs to a stream made {self._feed_created}, not {info.created}")
        if state.last_seq < self.position:
            raise _GapError(f"the stream ends at {state.last_seq}")
        if state.first_seq > self.position + 1 and state.last_seq > self.position:
            raise _GapError(f"the stream begins at {state.first_seq}")
        self.lag = state.last_seq - self.position

    def _apply(self, message: RawStreamMsg) -> None:
        """What does not name the position that it follows was not written by ingest: JetStream answers and delivers
        wherever a program asks it to, and so could a message of elsewhere be brought into the feed."""
        sequence = message.seq or 0
        try:
            if (message.headers or {}).get(Header.EXPECTED_LAST_SEQUENCE.value) != str(sequence - 1):
                raise EnvelopeError("it does not name its position")
            for entry in decode_entries(message.data or b""):
                self._devices.apply(entry)
        except EnvelopeError as error:
            self.rejected += 1
            _log.error("a registry change cannot be read and is skipped", sequence=sequence, error=str(error))
        self.position = sequence


def _feed_position(info: ObjectInfo) -> int:
    try:
        return int((info.headers or {})[FEED_POSITION_HEADER])
    except (KeyError, TypeError, ValueError) as error:
        raise EnvelopeError(f"the registry snapshot names no feed position: {error!r}") from error
