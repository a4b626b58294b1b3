"""Into custody, or into the spool and from there into custody: a push is answered 200 when its reports are on a disk.

The stream comes first. A report goes to the spool when the stream is away, refuses, has too much to do, or has not said
a word for `deadline_s`; and while anything is in the spool everything goes there, so that order is kept and nobody
waits for a stream that is known to be in trouble. A report that ends up in both has one id: ingest takes it once.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

import structlog

from gateway.custody import Minted
from gateway.devices import Devices
from gateway.intake import Intake
from gateway.push.spool import Done, Spool
from gateway.push.spool_file import Kept
from metering.commands import WaitingCommand
from metering.errors import AdmissionError, CustodyBusyError, CustodyError, SpoolFullError

SWEEP_S = 0.25
RETRY_S = 0.5
"""Between two attempts to empty the spool into a stream that does not take it."""

CUSTODY_S = 30.0
"""Custody answers within its own deadline, but not the ninth of nine repeats."""

_log = structlog.get_logger()


class Link(Protocol):
    @property
    def connected(self) -> asyncio.Event: ...


class _Waiting:
    """A report that custody has and has not answered."""

    __slots__ = ("done", "is_over", "kept", "since")

    def __init__(self, kept: Kept, done: Done, since: float) -> None:
        self.kept, self.done, self.since, self.is_over = kept, done, since, False


class Taking:
    """`serve` runs while the stream's contract is verified; before that everything goes to the spool."""

    def __init__(
        self,
        intake: Intake,
        devices: Devices,
        link: Link,
        spool: Spool,
        deadline_s: float,
        clock: Callable[[], float],
    ) -> None:
        self._intake, self._devices, self._link, self._spool = intake, devices, link, spool
        self._deadline_s, self._clock = deadline_s, clock
        self._waiting: deque[_Waiting] = deque()
        self._serves = self._stops = False
        self.direct = self.spooled = self.drained = self.overdue = self.refused = 0

    def take(self, kept: Kept, done: Done) -> None:
        """Calls `done` once: True when the report is on a disk, False when there is no room for it anywhere."""
        if not self._serves or self._stops or not self._spool.is_empty or not self._link.connected.is_set():
            self._to_spool(kept, done)
            return
        waiting = _Waiting(kept, done, self._clock())
        try:
            self._to_custody(kept, partial(self._settled, waiting))
        except (AdmissionError, CustodyBusyError):  # the registry is not whole yet, or too much waits
            self._to_spool(kept, done)
        else:
            if not waiting.is_over:
                self._waiting.append(waiting)

    async def serve(self) -> None:
        """Watch the deadlines and empty the spool, until cancelled."""
        self._serves = True
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._watch_deadlines(), name="push deadlines")
                group.create_task(self._drain(), name="push spool")
        finally:
            self._serves = False

    def stop(self) -> None:
        """What the spool holds stays there for the next life."""
        self._stops = True

    def to_spool_now(self) -> None:
        """Every report that custody has not answered, because nobody will."""
        while self._waiting:
            self._give_up(self._waiting.popleft())

    def _to_custody(self, kept: Kept, settle: Callable[..., None]) -> None:
        """Raises RegistryNotLoadedError and CustodyBusyError."""
        minted = Minted(kept.report_id, kept.received_at_us)
        name = next((name for name in kept.names if self._devices.find(name) is not None), None)
        if name is None:
            said = kept.names[0] if kept.names else ""
            self._intake.take_unplaced(
                kept.door, said, kept.source, kept.content_format, kept.payload, settle, kept.stamp, minted
            )
            return
        self._intake.take(
            kept.door, name, 0, kept.source, kept.content_format, kept.payload, settle,
            vouched=kept.stamp, carries_commands=False, minted=minted,
        )  # fmt: skip

    def _settled(self, waiting: _Waiting, failure: CustodyError | None, _: WaitingCommand | None = None) -> None:
        if waiting.is_over:
            return
        waiting.is_over = True
        if failure is None:
            self.direct += 1
            waiting.done(True)
        else:
            self._to_spool(waiting.kept, waiting.done)

    def _to_spool(self, kept: Kept, done: Done) -> None:
        try:
            self._spool.append(kept, done)
        except SpoolFullError:
            self.refused += 1
            done(False)
        else:
            self.spooled += 1

    def _give_up(self, waiting: _Waiting) -> None:
        if not waiting.is_over:
            waiting.is_over = True
            self.overdue += 1
            self._to_spool(waiting.kept, waiting.done)

    async def _watch_deadlines(self) -> None:
        """One timer for all: they wait in the order in which they came."""
        while True:
            await asyncio.sleep(SWEEP_S)
            before = self._clock() - self._deadline_s
            while self._waiting and (self._waiting[0].is_over or self._waiting[0].since <= before):
                self._give_up(self._waiting.popleft())

    async def _drain(self) -> None:
        while True:
            await self._spool.filled.wait()
            await self._link.connected.wait()
            reports = [] if self._stops else await self._spool.peek()
            if reports and await self._all_in_custody(reports):
                self._spool.consumed()
                self.drained += len(reports)
            elif self._spool.filled.is_set():
                await asyncio.sleep(RETRY_S if reports or self._stops else 0.005)

    async def _all_in_custody(self, reports: Sequence[Kept]) -> bool:
        """False when one was not taken; all of them are then given again."""
        loop = asyncio.get_running_loop()
        answers: dict[tuple[object, ...], asyncio.Future[bool]] = {}
        for kept in reports:
            key = (kept.names, kept.content_format, kept.payload, kept.voucher)
            if key in answers:
                continue  # what a platform repeated while the stream was away
            answer = answers[key] = loop.create_future()
            try:
                self._to_custody(kept, partial(_tell, answer))
            except (AdmissionError, CustodyBusyError) as error:
                _log.info("spool_waits", reason=error.label)
                return False
        done, late = await asyncio.wait(answers.values(), timeout=CUSTODY_S)
        return not late and all(answer.result() for answer in done)


def _tell(answer: asyncio.Future[bool], failure: CustodyError | None, _: WaitingCommand | None = None) -> None:
    if not answer.done():
        answer.set_result(failure is None)
