"""`start(...)` runs `nbwater up` on a directory per test and ends what a test leaves running; `stub` is a platform."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.running import Up
from tests.gateway.push.north.stub import StubPlatform


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


@pytest.fixture(scope="module")
def stub() -> Iterator[StubPlatform]:
    """An operator's platform that checks signatures, for commands on their way down."""
    made = StubPlatform()
    yield made
    made.close()
