"""A log file that cannot fill the disk."""

from __future__ import annotations

from pathlib import Path

MAX_BYTES = 8 * 1024 * 1024
KEPT_FILES = 3
"""Older files besides the current one: `gateway.log.1` is the newest of them."""


class LogFile:
    """Appends bytes to `path`; at `max_bytes` it begins a new file and keeps `kept` older ones."""

    def __init__(self, path: Path, max_bytes: int = MAX_BYTES, kept: int = KEPT_FILES) -> None:
        self.path, self._max_bytes, self._kept = path, max_bytes, kept
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("ab", buffering=0)
        self._size = self._file.tell()

    def write(self, data: bytes) -> None:
        """Never raises: a full disk must not stop the child whose log this is."""
        try:
            if self._size + len(data) > self._max_bytes:
                self._rotate()
            self._file.write(data)
            self._size += len(data)
        except OSError:
            return

    def close(self) -> None:
        self._file.close()

    def _rotate(self) -> None:
        self._file.close()
        for number in range(self._kept, 0, -1):
            older = self.path if number == 1 else self._numbered(number - 1)
            if older.exists():
                older.replace(self._numbered(number))
        self._file = self.path.open("wb", buffering=0)
        self._size = 0

    def _numbered(self, number: int) -> Path:
        return self.path.with_name(f"{self.path.name}.{number}")
