"""Programs and servers on the hosts of the bed, restarted when they end, as systemd does it in production."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from deploy.supervision.parent_death import dies_with_parent

RESTART_S = 1.0
STOP_S = 20.0
LOOK_EVERY_S = 0.2


class Process:
    """One program on one host. `command` is complete, the way into the namespace included. At the end of the rehearsal
    nothing is kept: `end_signal` is for servers that would leave shared memory behind."""

    def __init__(
        self,
        name: str,
        command: list[str],
        environment: Mapping[str, str],
        log: Path,
        end_signal: signal.Signals = signal.SIGKILL,
    ) -> None:
        self.name, self.log, self._end_signal = name, log, end_signal
        self._command, self._environment = command, dict(environment)
        self._child: subprocess.Popen[bytes] | None = None
        self._died_at: float | None = None
        self.wanted = False
        self.starts = 0

    def start(self) -> None:
        self.wanted, self._died_at = True, None
        self.starts += 1
        with self.log.open("ab") as log:
            self._child = subprocess.Popen(  # noqa: S603 - our own command
                self._command, env=self._environment, stdout=log, stderr=log, cwd="/",
                preexec_fn=dies_with_parent(signal.SIGKILL),
            )  # fmt: skip

    @property
    def pid(self) -> int:
        """Of the running program; 0 when there is none."""
        return self._child.pid if self._child is not None and self.is_running else 0

    @property
    def is_running(self) -> bool:
        return self._child is not None and self._child.poll() is None

    def send(self, number: signal.Signals) -> None:
        if self._child is not None and self.is_running:
            self._child.send_signal(number)

    def kill(self) -> None:
        """kill -9; it is started again soon."""
        self.send(signal.SIGKILL)

    @contextlib.contextmanager
    def down(self) -> Iterator[None]:
        """kill -9, and not started again before the block ends."""
        self.wanted = False
        self.kill()
        try:
            yield
        finally:
            self.wanted = True

    def tend(self, now: float) -> None:
        """Start it again when it ended a while ago."""
        if not self.wanted or self.is_running:
            return
        if self._died_at is None:
            self._died_at = now
        elif now - self._died_at >= RESTART_S:
            self.start()

    def end(self) -> None:
        """Ask it to end for good; `wait` comes after."""
        self.wanted = False
        self.send(signal.SIGCONT)
        self.send(self._end_signal)

    def wait(self) -> None:
        if self._child is None:
            return
        try:
            self._child.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()


class Processes:
    """All of the bed's, by name."""

    def __init__(self) -> None:
        self._all: dict[str, Process] = {}

    def __getitem__(self, name: str) -> Process:
        return self._all[name]

    def add(self, process: Process) -> Process:
        self._all[process.name] = process
        process.start()
        return process

    async def tend(self) -> None:
        """Until cancelled."""
        while True:
            for process in self._all.values():
                process.tend(time.monotonic())
            await asyncio.sleep(LOOK_EVERY_S)

    def stop(self) -> None:
        for process in self._all.values():
            process.end()
        for process in self._all.values():
            process.wait()


def plain_environment() -> dict[str, str]:
    """This process's, without settings of ours."""
    return {name: value for name, value in os.environ.items() if not name.startswith("NBWATER_")}
