"""`start(...)` runs `nbwater up` on one directory per test and ends what a test leaves running."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.running import Up


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
