"""Keeps replay windows over restarts: a file that each taken report adds 20 bytes to, before its answer leaves.

The bytes are written and not synced: they survive a process that is killed, and a machine that goes down in good order.
After a power loss the newest may be missing; the kernel's boot id in the head then says that the file is not to be
believed, and every context is asked for proof by Echo (RFC 8613 appendix B.1.2). A file closed in good order is synced
and believed whatever came after. Whoever cannot write removes the file: no window is better than an old one.

Head: magic, boot id, 1 when closed in good order, number of workers. Then a snapshot of all windows, then records.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import struct
from pathlib import Path

import structlog

from gateway.coap.oscore.windows import RECORD, Windows
from metering.errors import StartError

MAX_JOURNAL_BYTES = 256 << 20
"""Beyond it, and beyond four times the snapshot, the file is written anew: 40 ms for a million windows."""

_HEAD = struct.Struct("<8s16sBB")
_MAGIC = b"nbwosc1\n"
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_log = structlog.get_logger()


class Journal:
    """Of process `worker` of `workers` in a directory that belongs to this user. `note` and `flush` never raise."""

    def __init__(self, directory: Path, worker: int, workers: int, windows: Windows, boot_id: bytes) -> None:
        """Fills `windows` with what is believed. Raises StartError when the directory cannot be used or another
        process writes here."""
        self._path, self._windows = directory / f"oscore-windows-{worker}", windows
        self._head = (_MAGIC, boot_id, workers)
        self._records: list[bytes] = []
        self._snapshot_bytes = 0
        self.bytes = 0
        self.failures = 0
        self._file: int | None = None
        try:
            self._lock = _locked(directory / f"oscore-windows-{worker}.lock")
            self.believed = self._read()
            self._write_anew(closed=False)
            if worker == 0:
                _remove_others(directory, workers)
        except OSError as error:
            raise StartError(f"replay windows in {directory}: {error.strerror or error}") from error

    def note(self, at: int) -> None:
        """The window there changed; to be flushed before anybody is told."""
        self._records.append(self._windows.record(at))

    def flush(self) -> None:
        """What was noted is in the file, or there is none any more."""
        if not self._records:
            return
        written, self._records = b"".join(self._records), []
        if self._file is None:
            return
        try:
            if os.write(self._file, written) != len(written):
                raise OSError("the disk is full")
            self.bytes += len(written)
            if self.bytes > max(MAX_JOURNAL_BYTES, 4 * self._snapshot_bytes):
                self._write_anew(closed=False)
        except OSError as error:
            self._give_up(error)

    def close(self) -> None:
        """All windows are on disk in one snapshot, which will be believed after any restart."""
        self.flush()
        if self._file is not None:
            try:
                self._write_anew(closed=True)
            except OSError as error:
                self._give_up(error)
        self.release()

    def release(self) -> None:
        """Write no more, and leave the file as it is."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
        os.close(self._lock)

    def _read(self) -> bool:
        """Whether there was a file that may be believed."""
        try:
            stored = self._path.read_bytes()
        except FileNotFoundError:
            return False
        magic, boot_id, workers = self._head
        if len(stored) < _HEAD.size:
            return False
        found_magic, found_boot_id, closed, found_workers = _HEAD.unpack_from(stored)
        # Another number of workers: contexts had other owners, whose file may be newer than this one.
        if found_magic != magic or found_workers != workers or not (closed or found_boot_id == boot_id != bytes(16)):
            return False
        try:
            at = _HEAD.size + self._windows.load(stored[_HEAD.size :])
        except ValueError:
            return False
        for record in RECORD.iter_unpack(stored[at : len(stored) - (len(stored) - at) % RECORD.size]):
            self._windows.restore(*record)
        return True

    def _write_anew(self, closed: bool) -> None:
        magic, boot_id, workers = self._head
        head, snapshot = _HEAD.pack(magic, boot_id, closed, workers), self._windows.snapshot()
        fresh = self._path.with_suffix(".new")
        file = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            _write_all(file, head + snapshot)
            if closed:
                os.fsync(file)
            os.replace(fresh, self._path)
            _sync_directory(self._path.parent)
        except OSError:
            os.close(file)
            raise
        if self._file is not None:
            os.close(self._file)
        self._file, self._snapshot_bytes = file, len(snapshot)
        self.bytes = len(head) + len(snapshot)

    def _give_up(self, error: OSError) -> None:
        self.failures += 1
        _log.error("replay windows cannot be kept: each meter will be asked by Echo after the next start",
                   error=error.strerror or str(error))  # fmt: skip
        if self._file is not None:
            os.close(self._file)
            self._file = None
        with contextlib.suppress(OSError):
            self._path.unlink()


def read_boot_id() -> bytes:
    """What the kernel calls this boot; zeros where it does not say (not Linux): then only good order is believed."""
    try:
        return bytes.fromhex(_BOOT_ID.read_text("ascii").strip().replace("-", ""))
    except (OSError, ValueError):
        return bytes(16)


def _locked(path: Path) -> int:
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(file)
        raise OSError("another gateway uses this directory") from None
    return file


def _remove_others(directory: Path, workers: int) -> None:
    """Files of workers that are no more: they would be believed when there are as many again."""
    for path in directory.glob("oscore-windows-*"):
        number = path.name.removeprefix("oscore-windows-").partition(".")[0]
        if number.isdecimal() and int(number) >= workers:
            path.unlink(missing_ok=True)


def _write_all(file: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(file, view) :]


def _sync_directory(directory: Path) -> None:
    file = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(file)
    finally:
        os.close(file)
