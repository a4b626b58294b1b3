"""How every program begins and ends: what it says on stdout, its signals, and its exit code."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import structlog

from metering.errors import NbwaterError
from metering.settings import unknown_variables
from metering.telemetry import configure_logging

_log = structlog.get_logger()

CANCEL_AGAIN_S = 5.0
"""Long enough for what a task does in order when it is cancelled, to give back a lease, say."""


def say(**line: object) -> None:
    """One JSON line on stdout, for whoever started the program: `nbwater up` waits for ``{"ready": program, …}``."""
    print(json.dumps(line), flush=True)


def on_stop_signal(stop: Callable[[], object]) -> None:
    """Call `stop` in the running loop at SIGTERM or SIGINT, instead of ending the process."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)


async def ended(*tasks: asyncio.Task[Any]) -> None:
    """Cancel these tasks and wait for them, however they end; cancel again those that are still there.

    A single one may be lost: `asyncio.wait_for` of Python 3.11 drops what comes together with the result that it waits
    for, nats-py's `_flush_pending` whatever reaches it; a loop around either then goes on, and the program with it.
    """
    waiting = set(tasks)
    while waiting:
        for task in waiting:
            task.cancel()
        _, waiting = await asyncio.wait(waiting, timeout=CANCEL_AGAIN_S)


def run_program(
    program: str,
    work: Callable[[], Coroutine[Any, Any, None]],
    run: Callable[[Coroutine[Any, Any, None]], None] = asyncio.run,
) -> int:
    """Exit code: 0 after `work` has drained; 1 when the platform's own errors ended it, a line on stderr for each.

    `run` is the event loop's. Any other exception is a defect and goes on with its traceback.
    """
    configure_logging(program)
    for line in unknown_variables(os.environ):
        _log.warning(line)
    code = 0
    try:
        run(work())
    except* NbwaterError as group:
        for error in _leaves(group):
            print(f"{program}: {error}", file=sys.stderr)
        code = 1
    return code


def _leaves(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error
