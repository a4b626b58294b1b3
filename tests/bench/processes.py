"""The processes of the benchmark: servers under test, the platform, and what they use of the machine."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil

from tests.bench.databases import execute, named
from tests.bench.usage import Usage, look, program

START_S = 90
STOP_S = 60
LOG_SHOWN = 4_000
OTHER_PORTS = (
    "NBWATER_GATEWAY_METRICS_PORT", "NBWATER_INGEST_METRICS_PORT", "NBWATER_SETTLEMENT_METRICS_PORT",
    "NBWATER_MQTT_PORT",
)  # fmt: skip


def free_udp_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def process(
    command: list[str], env: Mapping[str, str] | None = None, log: Path | None = None
) -> Iterator[subprocess.Popen[str]]:
    """A child that is ended with the block. What it writes to stderr goes to `log`, which is shown when the block
    raises, and removed."""
    with open(log or os.devnull, "w+b") as errors:
        child = subprocess.Popen(
            command, stdout=subprocess.PIPE if log is None else errors, stderr=errors, text=True,
            env={**os.environ, **(env or {})},
        )  # fmt: skip
        try:
            yield child
        except Exception:
            if log is not None:
                print(log.read_text(errors="replace")[-LOG_SHOWN:], file=sys.stderr)
            raise
        finally:
            child.send_signal(signal.SIGTERM)
            try:
                child.wait(STOP_S)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
            if log is not None:
                log.unlink(missing_ok=True)


def python(module: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", module, *arguments]


class Platform:
    """`nbwater up` on a directory of its own, as an operator would start it."""

    def __init__(self, data: Path, child: subprocess.Popen[str]) -> None:
        self.data, self._child = data, child
        self.instance = self._instance()

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

    def usage(self, backends: Mapping[int, str]) -> Usage:
        return look(self._child.pid, backends)

    @contextmanager
    def stopped(self, *names: str) -> Iterator[None]:
        """These programs do nothing (SIGSTOP) until the end of the block."""
        children = psutil.Process(self._child.pid).children()
        chosen = [child for child in children if program(child.cmdline()) in names]
        if len(chosen) < len(names):
            raise RuntimeError(f"not all of {names} run")
        for child in chosen:
            child.suspend()
        try:
            yield
        finally:
            for child in chosen:
                child.resume()


@contextmanager
def platform(env: Mapping[str, str] | None = None, server_url: str | None = None) -> Iterator[Platform]:
    """A platform of the block's own. `server_url`: of a PostgreSQL server where it gets a database that goes with the
    block; without, that of NBWATER_DATABASE_URL, else the embedded one."""
    server_url = server_url or os.environ.get("NBWATER_DATABASE_URL")
    command = python("deploy", "up", "--coap-port", "0", "--http-port", "0", "--data")
    with ExitStack() as stack:
        data = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="nbwater-bench-")))
        more = dict.fromkeys(OTHER_PORTS, "0") | dict(env or {})
        if server_url:
            more["NBWATER_DATABASE_URL"] = stack.enter_context(own_database(server_url))
        child = stack.enter_context(process([*command, str(data)], more, data.parent / f"{data.name}.log"))
        yield Platform(data, child)


@contextmanager
def own_database(server_url: str) -> Iterator[str]:
    """A new database on that server, dropped with the block."""
    name = f"nbwater_bench_{os.getpid()}_{time.monotonic_ns() // 1000}"
    asyncio.run(execute(server_url, f"CREATE DATABASE {name}"))
    try:
        yield named(server_url, name)
    finally:
        asyncio.run(execute(server_url, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)"))
