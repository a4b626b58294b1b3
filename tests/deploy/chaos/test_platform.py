"""`nbwater simulate chaos` from the outside: what it leaves behind when somebody stops it."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from deploy.chaos.platform import OwnPlatform
from deploy.cli import main
from simulators.chaos.platform import GoneError

ROOT = Path(__file__).parents[3]
DEADLINE_S = 600


def test_interrupted_it_leaves_no_process_and_no_file(tmp_path):
    """Ctrl-C while load flows."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("NBWATER_")}
    process = subprocess.Popen(
        [sys.executable, "-m", "deploy", "simulate", "chaos", "--seed", "1", "--minutes", "4", "--faults", "pause",
         "--reports-per-second", "20", "--meters", "5"],
        cwd=ROOT, env=environment | {"TMPDIR": str(tmp_path)}, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    watchdog = threading.Timer(DEADLINE_S, process.kill)
    watchdog.start()
    try:
        said = []
        for line in process.stderr:
            said.append(line)
            if "load:" in line:
                family = psutil.Process(process.pid).children(recursive=True)
                process.send_signal(signal.SIGINT)
                break
        else:
            pytest.fail("".join(said))
        rest = process.stderr.read()
        assert process.wait() == 130, "".join(said) + rest
    finally:
        watchdog.cancel()
        process.stderr.close()
    assert len(family) > 6
    assert not [one for one in family if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]
    assert list(tmp_path.iterdir()) == []


def test_a_kind_that_is_none_is_refused_before_anything_starts(capsys):
    assert main(["simulate", "chaos", "--faults", "kill,flood"]) == 2
    assert "flood" in capsys.readouterr().err


async def test_before_it_runs_there_is_nothing_to_harm():
    platform = OwnPlatform()
    try:
        with pytest.raises(GoneError):
            platform.kill("gateway")
        assert platform.said("gateway") == ""
    finally:
        await platform.stop(keep=False)
    assert not platform.data.exists()


def test_who_was_stopped_twice_goes_on_when_the_last_lets_go(monkeypatch):
    """A pause and the step of a clock, or the copy of a database, at once."""
    platform = OwnPlatform()
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        monkeypatch.setattr(platform, "_pid", lambda _: process.pid)
        pause, step = platform.freeze("nats"), platform.freeze("nats")
        platform.thaw(step)
        until(process.pid, stopped=True)
        platform.thaw(pause)
        until(process.pid, stopped=False)
        process.stdin.close()
    asyncio.run(platform.stop(keep=False))


def until(pid, stopped):
    deadline = time.monotonic() + DEADLINE_S
    while (psutil.Process(pid).status() == psutil.STATUS_STOPPED) is not stopped:
        assert time.monotonic() < deadline
        time.sleep(0.01)
