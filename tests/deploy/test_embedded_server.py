"""How an embedded server starts, fails to, and ends, with a few lines of Python in its place."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import pytest

from deploy.embedded.server import EmbeddedServer
from metering.errors import StartError

IGNORES_SIGTERM = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)"


class Server(EmbeddedServer):
    name = "a server"
    start_timeout_s = 20
    stop_timeout_s = 20

    def __init__(self, directory: Path, begins_with: str, then: str = "signal.pause()") -> None:
        self.ready = directory / "ready"
        self._script = f"import pathlib, signal\n{begins_with}\npathlib.Path({str(self.ready)!r}).touch()\n{then}\n"

    def prepare(self) -> None:
        self.ready.unlink(missing_ok=True)

    def command(self) -> list[str]:
        return [sys.executable, "-c", self._script]

    def is_ready(self) -> bool:
        return self.ready.exists()

    @property
    def log_file(self) -> Path:
        return self.ready.with_name("log")


def test_it_is_started_and_ended_in_good_order(tmp_path: Path) -> None:
    server = Server(tmp_path, "")
    server.start()
    assert server.process is not None
    server.stop()
    assert server.process.returncode == -signal.SIGTERM
    server.stop()


def test_one_that_dies_says_where_to_look(tmp_path: Path) -> None:
    with pytest.raises(StartError, match=f"a server ended with code 3; see {tmp_path / 'log'}"):
        Server(tmp_path, "raise SystemExit(3)").start()


def test_one_that_is_never_ready_is_given_up(tmp_path: Path) -> None:
    server = Server(tmp_path, "signal.pause()")
    server.start_timeout_s = 0.2
    with pytest.raises(StartError, match="not ready within"):
        server.start()
    server.kill()


def test_one_that_does_not_end_is_killed(tmp_path: Path) -> None:
    server = Server(tmp_path, IGNORES_SIGTERM)
    server.stop_timeout_s = 0.2
    server.start()
    assert server.process is not None
    server.stop()
    assert server.process.returncode == -signal.SIGKILL
