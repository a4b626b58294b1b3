"""A bounded spool on the local disk, for the time in which the stream takes nothing (DESIGN section 5.4).

What `append` was told is on disk (fsync) is there after kill -9 and after a power cut. Many appends share one fsync:
those that come while the disk is busy make the next group. What was read and given to custody may be read again after a
crash; its report ids make that harmless. One process at a time (a lock file).
"""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import structlog

from gateway.push.spool_file import Kept, number_of, record, records, segment_path, segments
from metering.errors import SpoolFullError, StartError

SEGMENT_BYTES = 4 << 20
READ_BYTES = 512 * 1024
MAX_QUEUED_BYTES = 16 << 20
"""Of records that wait for the disk: more memory than that means a disk that does not keep up."""

GROUP_BYTES = 2 << 20
_log = structlog.get_logger()

Done = Callable[[bool], None]
Result = TypeVar("Result")


@dataclass(slots=True)
class Segment:
    path: Path
    size: int
    """Bytes that are whole records on disk."""
    closed: bool
    read: int = 0


class Spool:
    """`open` before anything else; `run` writes until cancelled. All methods belong to the event loop's thread."""

    def __init__(self, directory: Path, max_bytes: int) -> None:
        self._directory, self._max_bytes = directory, max_bytes
        self._segments: deque[Segment] = deque()
        self._queue: deque[tuple[bytes, Done]] = deque()
        self._queued_bytes = self._writing_bytes = self._peeked = 0
        self._next_number = 1
        self._wake, self._quiet = asyncio.Event(), asyncio.Event()
        self._quiet.set()
        self.filled = asyncio.Event()
        """Set while there is something to read."""
        self._lock: int | None = None
        self._disk = ThreadPoolExecutor(2, "spool")
        self.fsyncs = self.records = self.torn = self.failures = 0

    @property
    def size_bytes(self) -> int:
        """On disk and on the way there."""
        return sum(segment.size for segment in self._segments) + self._queued_bytes + self._writing_bytes

    @property
    def is_empty(self) -> bool:
        return not self._segments and not self._queue and not self._writing_bytes

    def open(self) -> None:
        """Find what an earlier life left. Raises StartError when the directory cannot be used."""
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = os.open(self._directory / "lock", os.O_RDWR | os.O_CREAT, 0o600)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            found = segments(self._directory)
            sizes = [path.stat().st_size for path in found]
        except BlockingIOError:
            raise StartError(f"push.directory {self._directory} is in use by another process") from None
        except OSError as error:
            raise StartError(f"push.directory {self._directory} cannot be used: {error.strerror or error}") from error
        self._segments.extend(Segment(path, size, True) for path, size in zip(found, sizes, strict=True))
        self._next_number = number_of(found[-1]) + 1 if found else 1
        if found:
            self.filled.set()
            _log.info("spool_left_from_before", segments=len(found), bytes=sum(sizes))

    def append(self, kept: Kept, done: Done) -> None:
        """Calls `done` once: True when it is on disk, False when it could not be written. Raises SpoolFullError."""
        data = record(kept)
        if self.size_bytes + len(data) > self._max_bytes or self._queued_bytes + len(data) > MAX_QUEUED_BYTES:
            raise SpoolFullError("the spool is full")
        self._queue.append((data, done))
        self._queued_bytes += len(data)
        self._quiet.clear()
        self._wake.set()

    async def run(self) -> None:
        """Write groups, each with one fsync."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._queue:
                await self._write(self._group())
            self._quiet.set()

    async def flushed(self) -> None:
        """Returns when everything appended is written or has failed; `run` must be running."""
        await self._quiet.wait()

    async def peek(self) -> list[Kept]:
        """The oldest records that are not consumed, in order; empty when there are none now."""
        while self._segments:
            segment = self._segments[0]
            if segment.read < segment.size:
                data = await self._on_disk(_read, segment.path, segment.read, segment.size)
                found, self._peeked, broken = records(data)
                if found:
                    return found
                self.torn += 1
                _log.warning("spool_segment_torn", segment=segment.path.name, at=segment.read, broken=broken)
                segment.size = segment.read
            if not segment.closed and (self._queue or self._writing_bytes):
                return []
            self._remove(segment)
        self.filled.clear()
        return []

    def consumed(self) -> None:
        """What `peek` gave is in custody."""
        self._segments[0].read += self._peeked

    def close(self) -> None:
        self._disk.shutdown(wait=False)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _on_disk(self, work: Callable[..., Result], *arguments: object) -> asyncio.Future[Result]:
        """In threads of the spool's own: nobody else's slow work holds up an fsync."""
        return asyncio.get_running_loop().run_in_executor(self._disk, work, *arguments)

    def _remove(self, segment: Segment) -> None:
        segment.path.unlink(missing_ok=True)
        self._segments.popleft()

    def _group(self) -> list[tuple[bytes, Done]]:
        group: list[tuple[bytes, Done]] = []
        while self._queue and self._writing_bytes < GROUP_BYTES:
            data, done = self._queue.popleft()
            self._queued_bytes -= len(data)
            self._writing_bytes += len(data)
            group.append((data, done))
        return group

    async def _write(self, group: list[tuple[bytes, Done]]) -> None:
        segment = self._active()
        data = b"".join(data for data, _ in group)
        written = True
        try:
            await asyncio.shield(self._on_disk(_append, segment.path, segment.size, data))
        except OSError as error:
            written, segment.closed = False, True
            self.failures += 1
            _log.error("spool_not_written", error=str(error), reports=len(group))
        else:
            segment.size += len(data)
            segment.closed = segment.size >= SEGMENT_BYTES
            self.fsyncs += 1
            self.records += len(group)
        self._writing_bytes = 0
        self.filled.set()
        for _, done in group:
            done(written)

    def _active(self) -> Segment:
        """The segment that is written to."""
        if not self._segments or self._segments[-1].closed:
            self._segments.append(Segment(segment_path(self._directory, self._next_number), 0, False))
            self._next_number += 1
        return self._segments[-1]


def _read(path: Path, at: int, end: int) -> bytes:
    with path.open("rb") as file:
        file.seek(at)
        return file.read(min(end - at, READ_BYTES))


def _append(path: Path, at: int, data: bytes) -> None:
    """At a known place: what a failed write left behind it is written over."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        view, written = memoryview(data), 0
        while written < len(data):
            written += os.pwrite(file, view[written:], at + written)
        os.fdatasync(file)
    finally:
        os.close(file)
    if at == 0:
        _sync_directory(path.parent)


def _sync_directory(path: Path) -> None:
    """So that a new file's name is there after a power cut."""
    directory = os.open(path, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
