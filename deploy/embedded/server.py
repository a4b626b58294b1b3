"""A server that runs as a child process of ours: what both embedded servers do in the same way."""

from __future__ import annotations

import signal
import subprocess
import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, ClassVar

from metering.errors import StartError

POLL_S = 0.05


class EmbeddedServer(ABC):
    """`nbwater up` prepares one and runs its `command` under supervision; `start` and `stop` are for whoever does not
    supervise, such as tests."""

    name: ClassVar[str]
    stop_signal: ClassVar[signal.Signals] = signal.SIGTERM
    start_timeout_s: ClassVar[float]
    stop_timeout_s: ClassVar[float]

    process: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def prepare(self) -> None:
        """Write what the server needs on disk. Raises StartError."""

    @abstractmethod
    def command(self) -> list[str]:
        """Its command line, without any secret. Raises StartError when the binary is not installed."""

    @abstractmethod
    def is_ready(self) -> bool:
        """Whether it serves now."""

    @property
    @abstractmethod
    def log_file(self) -> Path:
        """Where `start` puts what it says."""

    @property
    def identity(self) -> dict[str, Any]:
        """Arguments for `subprocess.Popen` that change the user and the folder it runs in."""
        return {}

    def start(self) -> None:
        """Start and wait until it serves. Raises StartError."""
        self.prepare()
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(  # noqa: S603 - our own command
                self.command(), stdout=log, stderr=log, **self.identity
            )
        deadline = time.monotonic() + self.start_timeout_s
        while time.monotonic() < deadline:
            if self.process.poll() is not None:  # asked first: another server may answer on its port
                raise StartError(f"{self.name} ended with code {self.process.returncode}; see {self.log_file}")
            if self.is_ready():
                return
            time.sleep(POLL_S)
        raise StartError(f"{self.name} was not ready within {self.start_timeout_s:.0f} s; see {self.log_file}")

    def stop(self) -> None:
        """End it in good order; kill it when it does not end in time."""
        if self.process is None or self.process.poll() is not None:
            return
        self.process.send_signal(self.stop_signal)
        try:
            self.process.wait(self.stop_timeout_s)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """kill -9; PostgreSQL's own children notice and end."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
