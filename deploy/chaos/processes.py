"""Stopping, continuing and killing processes with all their children, by /proc."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path


def started(pid: int) -> int | None:
    """Start time in clock ticks since boot; None when there is no such living process (proc(5), stat, field 22)."""
    found = _stat(pid)
    return None if found is None or found[0] in "ZX" else int(found[19])


def freeze(pid: int) -> list[tuple[int, int]]:
    """SIGSTOP to the process, then to its children and theirs; those that were stopped, with their start times.

    Parents first: one that is stopped makes no more children.
    """
    frozen = []
    for one in _with_descendants(pid):
        if (born := started(one)) is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(one, signal.SIGSTOP)
                frozen.append((one, born))
    return frozen


def thaw(frozen: list[tuple[int, int]]) -> None:
    """SIGCONT, children first, to those that are still the same processes."""
    for pid, born in reversed(frozen):
        if started(pid) == born:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


def environment(pid: int) -> dict[str, str]:
    """What the process was started with."""
    pairs = Path(f"/proc/{pid}/environ").read_bytes().decode("utf-8", "surrogateescape").split("\0")
    return dict(pair.split("=", 1) for pair in pairs if "=" in pair)


def command(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/cmdline").read_bytes().decode("utf-8", "surrogateescape").rstrip("\0").split("\0")


def _with_descendants(pid: int) -> Iterator[int]:
    yield pid
    seen = {pid}
    while True:
        found = [child for child, parent in _parents() if parent in seen and child not in seen]
        if not found:
            return
        yield from found
        seen.update(found)


def _parents() -> Iterator[tuple[int, int]]:
    for path in Path("/proc").glob("[0-9]*"):
        if (stat := _stat(int(path.name))) is not None:
            yield int(path.name), int(stat[1])


def _stat(pid: int) -> list[str] | None:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
