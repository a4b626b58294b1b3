"""`nbwater up` with everything real: it serves, survives kills, ends in order, finds its data again, leaves nothing."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
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
CHILDREN = ("gateway", "ingest", "api", "nats", "postgres")


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
        command = [sys.executable, "-m", "deploy", *arguments, "--data", str(self.data)]
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
            capture_output=True, text=True, timeout=30, check=False,
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


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Up]]:
    running = list[Up]()

    def _start(**environment: str) -> Up:
        running.append(Up(tmp_path / "data", **environment))
        return running[-1]

    yield _start
    for up in running:
        if up.process.poll() is None:
            up.end()


STORED = "SELECT count(*) FROM reports WHERE outcome = 'stored'"


async def test_a_report_comes_in_and_is_found_again_after_an_orderly_end(start: Callable[..., Up]) -> None:
    up = start()
    assert "first login at the pages: admin" in up.said
    up.register()
    up.post_until_taken()
    await up.until_counted(STORED, 1)
    assert await up.count("SELECT index_ml FROM readings") == 24_700_000

    family = up.family()
    assert len(family) >= 6
    assert up.end() == 0
    assert not psutil.wait_procs(family, timeout=5)[1]
    assert not (up.data / "run" / "instance.json").exists()

    again = start()
    assert "first login" not in again.said
    assert await again.count(STORED) == 1
    again.post_until_taken()
    assert again.end() == 0


async def test_every_child_comes_back_after_kill_9(start: Callable[..., Up]) -> None:
    up = start()
    up.register()
    up.post_until_taken()
    before = up.pids()
    assert set(before) == set(CHILDREN)
    for name in CHILDREN:
        os.kill(before[name], signal.SIGKILL)
        until(lambda name=name: f"{name} is back" in up.said, f"{name} is back")
    assert all(up.pids()[name] != before[name] for name in CHILDREN)

    frame = bytearray(FRAME)  # another volume, so that it is no repeat
    frame[27:31] = (2471).to_bytes(4, "little")
    frame[-2] = sum(frame[:-2]) & 0xFF
    until(lambda: up.post(bytes(frame)) == "2.04", "a report after all the kills")
    await up.until_counted("SELECT count(*) FROM reports", 2)
    assert up.end() == 0


def test_no_orphans_when_up_itself_is_killed_and_the_next_one_starts(start: Callable[..., Up]) -> None:
    up = start()
    family = up.family()
    up.process.kill()
    up.process.wait()
    again = start()
    assert not [process for process in family if process.is_running() and process.status() != "zombie"]
    assert again.end() == 0


def test_secrets_are_nobodys_business(start: Callable[..., Up]) -> None:
    up = start()
    accounts = json.loads((up.data / "secrets" / "accounts.json").read_text())
    secrets = [accounts["database_owner"], *accounts["nats"].values(), *accounts["database"].values()]
    for process in up.family():
        assert not any(secret in " ".join(process.cmdline()) for secret in secrets)
    everywhere = "".join(file.read_text() for file in (up.data / "logs").iterdir()) + up.said
    assert not any(secret in everywhere for secret in [*secrets, accounts["session_secret"]])

    gateway = psutil.Process(up.pids()["gateway"]).environ()
    assert "NBWATER_DATABASE_URL" not in gateway
    assert f"gateway:{accounts['nats']['gateway']}@" in gateway["NBWATER_NATS_URL"]
    ingest = psutil.Process(up.pids()["ingest"]).environ()
    assert f"nbwater_ingest_login:{accounts['database']['ingest']}@" in ingest["NBWATER_DATABASE_URL"]
    for private in ("secrets/accounts.json", "run/instance.json", "nats/nats.conf"):
        assert (up.data / private).stat().st_mode & 0o077 == 0


def test_a_second_up_on_the_same_directory_is_refused(start: Callable[..., Up]) -> None:
    up = start()
    second = up.nbwater("up", "--coap-port", "0", "--http-port", "0")
    assert second.returncode == 1
    assert f"another nbwater up (process {up.process.pid})" in second.stderr
    assert up.process.poll() is None


async def test_servers_of_the_settings_are_used_instead(
    start: Callable[..., Up], database_url: str, nats_url: str, nats_server: Any
) -> None:
    up = start(
        NBWATER_DATABASE_URL=database_url, NBWATER_NATS_URL=nats_url, NBWATER_NATS_MONITOR_URL=nats_server.monitor_url
    )
    assert set(up.pids()) == {"gateway", "ingest", "api"}
    assert up.instance["database_url"] == database_url
    up.register()
    up.post_until_taken()
    await up.until_counted(STORED, 1)
    assert up.end() == 0
