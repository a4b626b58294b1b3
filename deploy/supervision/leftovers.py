"""Ends what an earlier supervisor of the same data directory left behind when it was killed."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

WAIT_S = 10.0
POLL_S = 0.05


class Children:
    """The processes of this data directory, written down at each start: ``DIR/run/children.json``.

    A process is its number and its start time; the number alone may belong to another one by now.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._running: dict[str, tuple[int, int]] = {}

    def started(self, name: str, pid: int) -> None:
        self._running[name] = (pid, _start_time(pid) or 0)
        self._path.write_text(json.dumps(self._running))

    def end_leftovers(self) -> list[str]:
        """Names of those that still lived. The caller holds the directory's lock, so nobody watches over them."""
        try:
            recorded = json.loads(self._path.read_text())
        except (OSError, ValueError):
            return []
        alive = {name: pid for name, (pid, started) in recorded.items() if _start_time(pid) == started}
        for name, pid in alive.items():
            _end(pid, signal.SIGINT if name == "postgres" else signal.SIGTERM)
        return sorted(alive)


def _end(pid: int, polite: signal.Signals) -> None:
    for number in (polite, signal.SIGKILL):
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return
        deadline = time.monotonic() + WAIT_S
        while time.monotonic() < deadline:
            if _start_time(pid) is None:
                return
            time.sleep(POLL_S)


def _start_time(pid: int) -> int | None:
    """In clock ticks since boot; None when there is no such living process (proc(5), field 22 of stat)."""
    try:
        after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if after_name[0] in "ZX" else int(after_name[19])


def forget_stale_postmaster(directory: Path) -> None:
    """Remove a postmaster.pid whose number belongs to another program now, as after a reboot: PostgreSQL would refuse
    to start. One whose process is gone is left to PostgreSQL, which finds by it whether old backends still live.
    """
    path = directory / "postmaster.pid"
    try:
        pid = int(path.read_text().split("\n", 1)[0])
        command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except (OSError, ValueError):
        return
    if str(directory).encode() not in command and not _is_in_use(directory):
        path.unlink(missing_ok=True)


def _is_in_use(directory: Path) -> bool:
    """Whether a process has its working directory there, as every process of a PostgreSQL does."""
    for link in Path("/proc").glob("[0-9]*/cwd"):
        try:
            if link.readlink() == directory:
                return True
        except OSError:
            continue  # it ended, or is another user's and so not PostgreSQL's
    return False
