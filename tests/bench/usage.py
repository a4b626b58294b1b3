"""CPU seconds and memory of the platform's processes, by program, PostgreSQL's by whom they serve."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psutil

PROGRAMS = {"ingest.settlement": "settlement", "gateway": "gateway", "ingest": "ingest", "api": "api"}
"""Module on the command line → name."""


@dataclass(slots=True)
class Usage:
    """Sums over the processes of a name."""

    cpu_s: dict[str, float] = field(default_factory=dict)
    memory_mb: dict[str, float] = field(default_factory=dict)

    def since(self, before: Usage) -> dict[str, float]:
        """CPU seconds spent between two looks, by name. Processes that died in between are not seen."""
        return {name: self.cpu_s[name] - before.cpu_s.get(name, 0.0) for name in self.cpu_s}

    def raise_peak(self, now: Usage) -> None:
        for name, memory in now.memory_mb.items():
            self.memory_mb[name] = max(memory, self.memory_mb.get(name, 0.0))


def look(supervisor: int, backends: Mapping[int, str]) -> Usage:
    """`backends`: process ids of PostgreSQL's processes and whom each serves; none of a server that runs elsewhere.

    PostgreSQL's memory is what each process has of its own and its shared memory once.
    """
    usage = Usage()
    with contextlib.suppress(psutil.NoSuchProcess):
        for child in psutil.Process(supervisor).children():
            with contextlib.suppress(psutil.NoSuchProcess):
                name = program(child.cmdline())
                if name != "postgres":
                    _add(usage, name, child, child.memory_info().rss)
    _look_at_postgres(usage, backends)
    return usage


def _look_at_postgres(usage: Usage, backends: Mapping[int, str]) -> None:
    shared, postmasters = 0, set()
    for pid, served in backends.items():
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(pid)
            if not process.name().startswith("postgres"):
                continue
            memory = process.memory_info()
            shared = max(shared, memory.shared)
            _add(usage, f"postgres for {served}", process, memory.rss - memory.shared)
            postmasters.add(process.ppid())
    for pid in postmasters:
        with contextlib.suppress(psutil.NoSuchProcess):
            times = psutil.Process(pid).cpu_times()
            usage.cpu_s["postgres, ended processes"] = times.children_user + times.children_system
    if shared:
        usage.memory_mb["postgres shared"] = shared / 1e6


def _add(usage: Usage, name: str, process: psutil.Process, memory: int) -> None:
    times = process.cpu_times()
    usage.cpu_s[name] = usage.cpu_s.get(name, 0.0) + times.user + times.system
    usage.memory_mb[name] = usage.memory_mb.get(name, 0.0) + memory / 1e6


def program(command: Iterable[str]) -> str:
    """Name of a child of `nbwater up` by its command line."""
    words = list(command)
    for module, name in PROGRAMS.items():
        if module in words:
            return name
    return Path(words[0]).name if words else "unknown"
