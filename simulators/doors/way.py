"""What a way is, and the one of meters that have one request on its way at a time."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import NamedTuple, Protocol

import structlog

from simulators import message
from simulators.exchange import Answer, Fate

log = structlog.get_logger()
NOTHING = Answer(Fate.UNKNOWN, message.EMPTY, b"")
"""Nobody knows whether it was taken."""

Ended = Callable[[Answer], None]


class Outgoing(NamedTuple):
    """A report that is to be sent. `device`: the name by which the registry knows the meter; `serial`: of its key;
    `lane`: a number of its own."""

    device: str
    serial: str
    content_format: int
    payload: bytes
    lane: int


class Way(Protocol):
    """`inflight`: reports that have not ended."""

    name: str

    @property
    def inflight(self) -> int: ...

    def send(self, report: Outgoing, ended: Ended) -> None:
        """Returns at once and calls `ended` once."""
        ...

    async def close(self) -> None:
        """What is on its way ends as unknown, or never."""
        ...


async def post(way: Way, report: Outgoing) -> Answer:
    """Send and wait."""
    done: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()

    def ended(answer: Answer) -> None:
        if not done.done():
            done.set_result(answer)

    way.send(report, ended)
    return await done


class Waiting(ABC):
    """Each report a task; those of one meter one after the other."""

    name = ""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()
        self._turns: dict[str, asyncio.Lock] = {}

    @property
    def inflight(self) -> int:
        return len(self._tasks)

    def send(self, report: Outgoing, ended: Ended) -> None:
        task = asyncio.get_running_loop().create_task(self._in_turn(report, ended))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _in_turn(self, report: Outgoing, ended: Ended) -> None:
        async with self._turns.setdefault(report.device, asyncio.Lock()):
            try:
                answer = await self.deliver(report)
            except Exception as error:  # of a client library: one door's fault must not end the others' reports
                log.warning("report_not_delivered", door=self.name, error=repr(error))
                answer = NOTHING
        ended(answer)

    @abstractmethod
    async def deliver(self, report: Outgoing) -> Answer:
        """How it ended. Raises nothing."""

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
