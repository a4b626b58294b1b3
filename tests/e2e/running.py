"""A running `nbwater up` as a test object."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import asyncpg
import psutil
import pytest

ROOT = Path(__file__).parents[2]
DEADLINE_S = 120
IMEI = "861234567890123"
FRAME = bytes.fromhex(
    "681002390745404358811d1f90a702390745404350172309010220a6090000024836090015000000db16"
)  # 24.70 m³
CHILDREN = ("gateway", "ingest", "settlement", "api", "nats", "postgres")


def until(condition: Callable[[], Any], what: str, deadline_s: float = DEADLINE_S) -> Any:
    deadline = time.monotonic() + deadline_s
    while not (result := condition()):
        assert time.monotonic() < deadline, f"not within {deadline_s} s: {what}"
        time.sleep(0.1)
    return result


class Up:
    """A running `nbwater up` on `data`."""

    def __init__(self, data: Path, **environment: str) -> None:
        self.data = data
        self.output = data.parent / f"{data.name}.out"
        self._environment = {k: v for k, v in os.environ.items() if not k.startswith("NBWATER_")} | environment
        self._environment |= {"NBWATER_GATEWAY_METRICS_PORT": "0", "NBWATER_INGEST_METRICS_PORT": "0"}
        self._environment |= {"NBWATER_SETTLEMENT_METRICS_PORT": "0", "NBWATER_MQTT_PORT": "0"}
        command = [sys.executable, "-m", "deploy", "up", "--data", str(data), "--coap-port", "0", "--http-port", "0"]
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(command, stdout=output, stderr=output, env=self._environment, cwd=ROOT)
        self.instance: dict[str, Any] = until(self._read, "instance.json")

    def _read(self) -> Any:
        assert self.process.poll() is None, self.output.read_text()
        try:
            found = json.loads((self.data / "run" / "instance.json").read_text())
        except (OSError, ValueError):
            return None
        return found if found["pid"] == self.process.pid else None

    @property
    def said(self) -> str:
        return self.output.read_text()

    def pids(self) -> dict[str, int]:
        """Of the children now alive, by name."""
        recorded = json.loads((self.data / "run" / "children.json").read_text())
        return {name: pid for name, (pid, _) in recorded.items() if psutil.pid_exists(pid)}

    def family(self) -> list[psutil.Process]:
        process = psutil.Process(self.process.pid)
        return [process, *process.children(recursive=True)]

    def nbwater(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """A command on this platform's data."""
        return self.plain(*arguments, "--data", str(self.data))

    def plain(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """A command that takes no --data, or has it in its arguments."""
        command = [sys.executable, "-m", "deploy", *arguments]
        return subprocess.run(
            command, capture_output=True, text=True, env=self._environment, cwd=ROOT, timeout=DEADLINE_S, check=False
        )

    def register(self) -> None:
        file = self.data.parent / "meters.csv"
        file.write_text(f"serial,imei\n434045073902,{IMEI}\n")
        done = self.nbwater("meters", "import", str(file))
        assert (done.returncode, done.stderr) == (0, "")

    def post(self, frame: bytes = FRAME) -> str:
        """The answer's code by a stock client."""
        client = shutil.which("coap-client-notls")
        if client is None:
            pytest.skip("NOT RUN: coap-client-notls (libcoap3-bin) is not installed")
        file = self.data.parent / "frame.bin"
        file.write_bytes(frame)
        uri = f"coap://127.0.0.1:{self.instance['coap_port']}/r/{IMEI}"
        done = subprocess.run(
            [client, "-B", "5", "-v", "7", "-m", "post", "-t", "42", "-f", str(file), uri],
            capture_output=True, text=True, errors="replace", timeout=30, check=False,
        )  # fmt: skip
        answers = [word for word in (done.stdout + done.stderr).split() if word.startswith("c:") and word[2].isdigit()]
        return answers[-1].removeprefix("c:") if answers else ""

    def post_until_taken(self) -> None:
        until(lambda: self.post() == "2.04", "a report is answered 2.04")

    async def count(self, query: str) -> int:
        try:
            connection = await asyncpg.connect(self.instance["database_url"], timeout=5)
        except (OSError, asyncpg.PostgresError):
            return -1
        try:
            return int(await connection.fetchval(query))
        finally:
            await connection.close()

    async def until_counted(self, query: str, wanted: int) -> None:
        deadline = time.monotonic() + DEADLINE_S
        while (found := await self.count(query)) < wanted:
            assert time.monotonic() < deadline, f"{query}: {found}, not {wanted}"
            await asyncio.sleep(0.2)

    def end(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(DEADLINE_S)
