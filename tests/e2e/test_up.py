"""`nbwater up` with everything real: it serves, survives kills, ends in order, finds its data again, leaves nothing."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from tests.e2e.running import CHILDREN, FRAME, Up, until

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
    told = json.loads((up.data / "run" / "instance.json").read_text())["programs"]
    assert {name: program["pid"] for name, program in told.items()} == up.pids()

    frame = bytearray(FRAME)  # another volume, so that it is no repeat
    frame[27:31] = (2471).to_bytes(4, "little")
    frame[-2] = sum(frame[:-2]) & 0xFF
    until(lambda: up.post(bytes(frame)) == "2.04", "a report after all the kills")
    await up.until_counted("SELECT count(*) FROM reports", 2)
    assert up.end() == 0


def test_a_server_that_dies_while_the_programs_start_comes_back_for_them(
    start: Callable[..., Up], tmp_path: Path
) -> None:
    """The gateway waits for the stream: nobody else would ever start it again."""
    recorded = tmp_path / "data" / "run" / "children.json"

    def children() -> dict[str, Any]:
        with contextlib.suppress(OSError, ValueError):
            found: dict[str, Any] = json.loads(recorded.read_text())
            return found
        return {}

    def kill_the_stream() -> None:
        until(lambda: "gateway" in children(), "the gateway is being started")
        os.kill(children()["nats"][0], signal.SIGKILL)

    killer = threading.Thread(target=kill_the_stream)
    killer.start()
    up = start()
    killer.join()
    until(lambda: "nats is back" in up.said, "nats is back")
    assert "nats was killed by SIGKILL" in up.said
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
    for program in ("ingest", "settlement"):
        given = psutil.Process(up.pids()[program]).environ()["NBWATER_DATABASE_URL"]
        assert f"nbwater_{program}_login:{accounts['database'][program]}@" in given
    assert "NBWATER_NATS_URL" not in psutil.Process(up.pids()["settlement"]).environ()
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
    assert set(up.pids()) == {"gateway", "ingest", "settlement", "api"}
    assert up.instance["database_url"] == database_url
    up.register()
    up.post_until_taken()
    await up.until_counted(STORED, 1)
    assert up.end() == 0
