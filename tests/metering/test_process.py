"""Exit codes and last words of a program, and the signals that end it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Callable, Coroutine

import pytest

from metering.errors import SettingsError, StartError
from metering.process import ended, on_stop_signal, run_program, say


def work_that(*errors: Exception, grouped: bool = False) -> Callable[[], Coroutine[None, None, None]]:
    async def work() -> None:
        if grouped:
            raise ExceptionGroup("tasks", [ExceptionGroup("inner", errors)])
        for error in errors:
            raise error

    return work


@pytest.mark.parametrize("grouped", [False, True])
def test_errors_of_the_platform_are_one_line_and_exit_code_1(capsys: pytest.CaptureFixture[str], grouped: bool) -> None:
    assert run_program("it", work_that(StartError("port 1 is taken"), grouped=grouped)) == 1
    assert capsys.readouterr().err == "it: port 1 is taken\n"


def test_each_error_of_a_group_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_program("it", work_that(StartError("one"), SettingsError("two"), grouped=True)) == 1
    assert capsys.readouterr().err == "it: one\nit: two\n"


def test_a_defect_keeps_its_traceback() -> None:
    with pytest.raises(ValueError, match="a defect"):
        run_program("it", work_that(ValueError("a defect")))
    with pytest.raises(ExceptionGroup) as raised:
        run_program("it", work_that(ValueError("a defect"), StartError("and more"), grouped=True))
    assert raised.group_contains(ValueError)
    assert not raised.group_contains(StartError)


async def test_a_cancellation_that_was_lost_is_sent_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("metering.process.CANCEL_AGAIN_S", 0.01)
    lost = 0

    async def work() -> None:
        nonlocal lost
        while True:
            answer = asyncio.get_running_loop().create_future()
            asyncio.get_running_loop().call_later(60, answer.set_result, None)
            try:
                await answer
            except asyncio.CancelledError:
                lost += 1
                if lost == 3:
                    raise

    task, other = asyncio.create_task(work()), asyncio.create_task(asyncio.sleep(60))
    await asyncio.sleep(0)
    await ended(task, other)
    assert (lost, task.cancelled(), other.cancelled()) == (3, True, True)
    await ended(task, other)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_work_in_good_order(capsys: pytest.CaptureFixture[str], number: int) -> None:
    async def work() -> None:
        stop = asyncio.Event()
        on_stop_signal(stop.set)
        os.kill(os.getpid(), number)
        await asyncio.wait_for(stop.wait(), 10)
        say(ready="it", port=1)

    assert run_program("it", work) == 0
    assert json.loads(capsys.readouterr().out) == {"ready": "it", "port": 1}
