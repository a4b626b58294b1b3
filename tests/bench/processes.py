"""The processes of the benchmark: servers under test, the platform, and what they use of the machine."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psutil

START_S = 90
STOP_S = 60


def free_udp_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def process(command: list[str], env: Mapping[str, str] | None = None) -> Iterator[subprocess.Popen[str]]:
    """A child that is ended with the block."""
    child = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env={**os.environ, **(env or {})}
    )
    try:
        yield child
    finally:
        child.send_signal(signal.SIGTERM)
        try:
            child.wait(STOP_S)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def python(module: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", module, *arguments]


class Platform:
    """`nbwater up` on a directory of its own, as an operator would start it."""

    def __init__(self, data: Path, child: subprocess.Popen[str]) -> None:
        self.data, self._child = data, child
        self.instance = self._instance()
        self.taken_before = 0
        """Reports that were in the database before the step under way."""

    def _instance(self) -> dict[str, object]:
        path = self.data / "run" / "instance.json"
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            if self._child.poll() is not None:
                raise RuntimeError(f"nbwater up ended with {self._child.returncode}")
            if path.exists():
                found: dict[str, object] = json.loads(path.read_text())
                return found
            time.sleep(0.1)
        raise RuntimeError(f"nbwater up was not ready within {START_S} s")

    @property
    def coap_port(self) -> int:
        return int(str(self.instance["coap_port"]))

    @property
    def database_url(self) -> str:
        return str(self.instance["database_url"])

    def usage(self) -> dict[str, tuple[float, float]]:
        """CPU seconds so far and resident MB of each program, its children counted in."""
        used: dict[str, tuple[float, float]] = {}
        for child in psutil.Process(self._child.pid).children():
            name = _program(child)
            family = [child, *child.children(recursive=True)]
            times = [member.cpu_times() for member in family if member.is_running()]
            memory = sum(member.memory_info().rss for member in family if member.is_running())
            used[name] = (sum(t.user + t.system for t in times), memory / 1e6)
        return used


def _program(child: psutil.Process) -> str:
    line = child.cmdline()
    for module in ("gateway", "ingest", "ingest.settlement", "api"):
        if module in line:
            return module.rpartition(".")[2]
    return Path(line[0]).name if line else str(child.pid)


@contextmanager
def platform(data: Path, env: Mapping[str, str] | None = None) -> Iterator[Platform]:
    command = python("deploy", "up", "--data", str(data), "--coap-port", "0", "--http-port", "0")
    with process(command, env) as child:
        yield Platform(data, child)
