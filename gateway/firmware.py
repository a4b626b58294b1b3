"""Firmware images as gateways read them: files named by their SHA-256, block by block, none of them whole in memory."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import structlog

from metering.errors import UnavailableError

MAX_CHECKED = 64
"""Files known to be what their names say; one more is checked anew when it is asked for."""

MAX_READS = 256
"""Blocks that are being read or wait for it; beyond them UnavailableError."""

_log = structlog.get_logger()


class Shelf:
    """The directory. Blocks its caller: for one thread of its own."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._checked: OrderedDict[bytes, tuple[int, int, int]] = OrderedDict()

    def read(self, digest: bytes, size_bytes: int, offset: int, length: int) -> bytes:
        """Part of the image with this SHA-256. Its content is compared with its name when the file is seen for the
        first time or has changed: half a copy or a damaged file reaches no meter. Raises UnavailableError."""
        try:
            file = os.open(self._directory / digest.hex(), os.O_RDONLY)
        except OSError as error:
            raise UnavailableError(f"image {digest.hex()}: {error.strerror}") from error
        try:
            self._check(file, digest, size_bytes)
            return os.pread(file, length, offset)
        except OSError as error:
            raise UnavailableError(f"image {digest.hex()}: {error.strerror}") from error
        finally:
            os.close(file)

    def _check(self, file: int, digest: bytes, size_bytes: int) -> None:
        status = os.fstat(file)
        identity = (status.st_ino, status.st_mtime_ns, status.st_size)
        if status.st_size != size_bytes:
            raise UnavailableError(f"image {digest.hex()} has {status.st_size} bytes and not {size_bytes}")
        if self._checked.get(digest) == identity:
            return
        with os.fdopen(os.dup(file), "rb") as content:
            found = hashlib.file_digest(content, "sha256").digest()
        if found != digest:
            _log.error("a firmware image is not what its name says", name=digest.hex(), sha256=found.hex())
            raise UnavailableError(f"image {digest.hex()} is damaged")
        self._checked[digest] = identity
        if len(self._checked) > MAX_CHECKED:
            self._checked.popitem(last=False)


class Images:
    """`Shelf` for the event loop, in a thread of its own: a slow disk delays firmware and nothing else."""

    def __init__(self, directory: Path) -> None:
        self._shelf = Shelf(directory)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="firmware")
        self.reading = 0

    async def read(self, digest: bytes, size_bytes: int, offset: int, length: int) -> bytes:
        """As `Shelf.read`."""
        if self.reading >= MAX_READS:
            raise UnavailableError("too many blocks of firmware are asked for at a time")
        self.reading += 1
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._thread, self._shelf.read, digest, size_bytes, offset, length)
        finally:
            self.reading -= 1

    def close(self) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)
