"""Which commands the platforms have: what a platform calls a command → whose and which of ours it is.

Kept in a file of JSON lines, each written with fsync before the command counts as handed over, so that the answer finds
its command after a restart too. Bounded by MAX_OPEN and by each command's expiry.
"""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path
from typing import NamedTuple

import structlog

MAX_OPEN = 100_000
KEPT_AFTER_S = 3600
"""Beyond its expiry: platforms tell of an expired command late."""

SPARE_LINES = 1_000
FILE = "commands.jsonl"
_log = structlog.get_logger()


class Open(NamedTuple):
    """A command at a platform. `platform_command_id` is unique within the product. `platform_id`, `platform_product`:
    what the platform calls the device and its product; empty where an earlier release wrote it down."""

    product: str
    platform_command_id: str
    device: str
    command_id: bytes
    expires_s: int
    platform_id: str = ""
    platform_product: str = ""


class Ledger:
    """`load` first. Writing blocks for one fsync: call it in a thread."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / FILE
        self._open: dict[tuple[str, str], Open] = {}
        self._of_device: dict[str, Open] = {}
        self._lines = 0
        self._lock = threading.Lock()  # `sent` and `ended` come from several threads

    def __len__(self) -> int:
        return len(self._open)

    def load(self, now_s: float) -> None:
        """What an earlier life left, without what is over. A line that cannot be read is left out."""
        try:
            lines = self._path.read_text("utf-8").splitlines()
        except FileNotFoundError:
            return
        for line in lines:
            try:
                self._apply(json.loads(line))
            except (ValueError, KeyError, TypeError):
                _log.warning("push_command_line_unreadable")
        self.expire(now_s)
        self._rewrite()

    def find(self, product: str, platform_command_id: str) -> Open | None:
        return self._open.get((product, platform_command_id))

    def of_device(self, device: str) -> Open | None:
        """The command of this device that a platform has; one at a time, so that their order is kept."""
        return self._of_device.get(device)

    def has_room(self) -> bool:
        return len(self._open) < MAX_OPEN

    def sent(self, entry: Open) -> None:
        """A platform took it; on disk when this returns. Raises OSError."""
        with self._lock:
            self._put(entry)
            self._write({**entry._asdict(), "command_id": entry.command_id.hex()})

    def ended(self, entry: Open) -> None:
        """As `sent`."""
        with self._lock:
            self._drop(entry)
            self._write({"product": entry.product, "platform_command_id": entry.platform_command_id, "ended": True})
            if self._lines > 2 * len(self._open) + SPARE_LINES:
                self._rewrite()

    def left(self, entry: Open) -> None:
        """It was cancelled and the platform keeps it: what becomes of it is still heard, and the device's next command
        does not wait for it. On disk when this returns. Raises OSError."""
        with self._lock:
            self._leave(entry)
            self._write(_leaving(entry))

    def here(self) -> list[Open]:
        """Each device's one."""
        return list(self._of_device.values())

    def expire(self, now_s: float) -> None:
        """Forget what ended without a word."""
        with self._lock:
            for entry in [entry for entry in self._open.values() if entry.expires_s + KEPT_AFTER_S < now_s]:
                self._drop(entry)

    def _apply(self, line: dict[str, object]) -> None:
        if line.get("ended") or line.get("left"):
            entry = self._open.get((str(line["product"]), str(line["platform_command_id"])))
            if entry is not None and line.get("left"):
                self._leave(entry)
            elif entry is not None:
                self._drop(entry)
            return
        self._put(
            Open(
                str(line["product"]), str(line["platform_command_id"]), str(line["device"]),
                bytes.fromhex(str(line["command_id"])), int(str(line["expires_s"])),
                str(line.get("platform_id", "")), str(line.get("platform_product", "")),
            )
        )  # fmt: skip

    def _put(self, entry: Open) -> None:
        self._open[entry.product, entry.platform_command_id] = entry
        self._of_device[entry.device] = entry

    def _drop(self, entry: Open) -> None:
        self._open.pop((entry.product, entry.platform_command_id), None)
        self._leave(entry)

    def _leave(self, entry: Open) -> None:
        if self._of_device.get(entry.device) == entry:
            del self._of_device[entry.device]

    def _write(self, line: dict[str, object]) -> None:
        self._lines += 1
        with open(os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def _rewrite(self) -> None:
        """Only what is open."""
        draft = self._path.with_suffix(".draft")
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            for entry in self._open.values():
                file.write(json.dumps({**entry._asdict(), "command_id": entry.command_id.hex()}) + "\n")
                if self._of_device.get(entry.device) != entry:
                    file.write(json.dumps(_leaving(entry)) + "\n")
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, self._path)
        self._lines = len(self._open)


def _leaving(entry: Open) -> dict[str, object]:
    return {"product": entry.product, "platform_command_id": entry.platform_command_id, "left": True}
