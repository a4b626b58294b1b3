"""CTWing's push: the platform posts what the meter said; answered is 200. One attempt each; who sends remembers."""

from __future__ import annotations

import asyncio
import time

from simulators import message
from simulators.doors.way import Outgoing, Waiting
from simulators.exchange import Answer, Fate
from simulators.http_line import Line, Receiver
from simulators.platform_rules import ctwing_push

CONNECTIONS = 8
BAD_REQUEST = 0x80


class Push(Waiting):
    name = "push"

    def __init__(self, url: str, connections: int = CONNECTIONS) -> None:
        super().__init__()
        self._lines: asyncio.LifoQueue[Line] = asyncio.LifoQueue()
        for _ in range(connections):
            self._lines.put_nowait(Line(Receiver(url)))
        self._sequence = 0

    async def deliver(self, report: Outgoing) -> Answer:
        self._sequence += 1
        body = ctwing_push(report.device, report.payload, int(time.time() * 1000), self._sequence)
        line = await self._lines.get()
        try:
            status = await line.post(body)
        finally:
            self._lines.put_nowait(line)
        fate = Fate.ANSWERED if status == "200" else Fate.REFUSED if status.startswith("4") else Fate.UNKNOWN
        return Answer(fate, {Fate.ANSWERED: message.CHANGED, Fate.REFUSED: BAD_REQUEST}.get(fate, 0), b"")

    async def close(self) -> None:
        await super().close()
        while not self._lines.empty():
            self._lines.get_nowait().close()
