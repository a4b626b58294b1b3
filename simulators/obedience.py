"""What a simulated meter does with the command in an answer (PROTOCOLS G). Pure.

A command is carried out once, however often it comes; its result is in every report until one of them was answered
with success.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, NamedTuple

import cbor2

from metering.commands import COMMAND_ID_BYTES, CommandKind
from metering.model import Valve

MAX_REMEMBERED = 64
"""Commands whose results are known; a meter's memory is small."""

MAX_CLOSURES = 32
MAX_HISTORY_S = 31 * 86_400


class Result(IntEnum):
    DONE = 0
    FAILED = 1
    REFUSED = 2
    EXPIRED = 3


class Plan(NamedTuple):
    """Report every `period_s`, `offset_s` after each full period; readings `interval_s` apart."""

    period_s: int
    offset_s: int
    interval_s: int

    def next_due_s(self, after_s: float) -> int:
        """The first instant after this one, Unix seconds."""
        return int((after_s - self.offset_s) // self.period_s + 1) * self.period_s + self.offset_s


class Update(NamedTuple):
    """An image that the meter was told to fetch."""

    command_id: bytes
    uri: str
    sha256: bytes
    size_bytes: int


@dataclass(slots=True)
class Obedience:
    """A meter's memory of what it was told. `can_update`: it takes firmware. `flash_fails`: none is ever written."""

    can_update: bool = False
    flash_fails: bool = False
    update: Update | None = None
    """To be fetched, then given to `fetched`."""
    firmware: bytes = b""
    """SHA-256 of the image it runs; empty for that of the factory."""
    plan: Plan | None = None
    clock_set_to_s: int | None = None
    wants_history: tuple[int, int] | None = None
    """To be in the next report: from, to, Unix seconds."""
    report_at_once: bool = False
    carried_out: int = 0
    _known: OrderedDict[bytes, Result] = field(default_factory=OrderedDict)
    _unreported: dict[bytes, Result] = field(default_factory=dict)
    _closures: list[tuple[int, int | None]] = field(default_factory=list)

    @property
    def valve(self) -> Valve:
        return Valve.CLOSED if self._closures and self._closures[-1][1] is None else Valve.OPEN

    @property
    def results(self) -> list[tuple[bytes, int]]:
        """What the next report has to say."""
        return [(command_id, int(result)) for command_id, result in self._unreported.items()]

    def reported(self, results: Sequence[tuple[bytes, int]]) -> None:
        """A report with these was answered with success."""
        for command_id, _ in results:
            self._unreported.pop(command_id, None)

    def obey(self, payload: bytes, now_s: int) -> bytes | None:
        """Do what the answer says; the id of the command, None when there is none or it cannot be read."""
        try:
            command = cbor2.loads(payload)
            command_id, kind, arguments = bytes(command[0]), int(command[1]), dict(command[2])
            expires_s = int(command[3])
        except Exception:  # whatever the network or a platform sends, a meter goes on
            return None
        if len(command_id) != COMMAND_ID_BYTES:
            return None
        if self.update is not None and self.update.command_id == command_id:
            return command_id  # told once more while it fetches
        if command_id not in self._known:
            result = self._do(command_id, kind, arguments, expires_s, now_s)
            if result is None:
                return command_id
            self._remember(command_id, result)
        self._unreported[command_id] = self._known[command_id]
        return command_id

    def fetched(self, image: bytes | None) -> None:
        """The image of `update`, None when it could not be had: is it what the command names, and can it be written?"""
        if self.update is None:
            return
        command_id, _, sha256, size_bytes = self.update
        self.update = None
        whole = image is not None and (len(image), hashlib.sha256(image).digest()) == (size_bytes, sha256)
        done = whole and not self.flash_fails
        if done:
            self.firmware = sha256
            self.carried_out += 1
        self._remember(command_id, Result.DONE if done else Result.FAILED)
        self._unreported[command_id] = self._known[command_id]

    def index_l(self, household_l: Callable[[int], int], ts_s: int) -> int:
        """What the register shows, where water flows only while the valve is open."""
        withheld = 0
        for from_s, to_s in self._closures:
            if from_s < ts_s:
                withheld += household_l(min(ts_s, to_s or ts_s)) - household_l(from_s)
        return household_l(ts_s) - withheld

    def _remember(self, command_id: bytes, result: Result) -> None:
        self._known[command_id] = result
        if len(self._known) > MAX_REMEMBERED:
            self._known.popitem(last=False)

    def _do(self, command_id: bytes, kind: int, arguments: dict[int, Any], expires_s: int, now_s: int) -> Result | None:
        """None: how it ends is not known yet."""
        if now_s > expires_s:
            return Result.EXPIRED
        try:
            if kind == CommandKind.FIRMWARE and self.can_update and self.update is None:
                self.update = Update(command_id, str(arguments[0]), bytes(arguments[1]), int(arguments[2]))
                return None
            result = self._carry_out(kind, arguments, now_s)
        except (KeyError, TypeError, ValueError):
            return Result.REFUSED
        self.carried_out += result is Result.DONE
        return result

    def _carry_out(self, kind: int, arguments: dict[int, Any], now_s: int) -> Result:
        match kind:
            case CommandKind.REPORT_NOW:
                self.report_at_once = True
            case CommandKind.VALVE:
                self._turn(int(arguments[0]), now_s)
            case CommandKind.REPORTING_PLAN:
                plan = Plan(int(arguments[0]), int(arguments[1]), int(arguments[2]))
                if not 0 <= plan.offset_s < plan.period_s:
                    return Result.REFUSED
                self.plan = plan
            case CommandKind.SET_CLOCK:
                self.clock_set_to_s = int(arguments[0])
            case CommandKind.READ_HISTORY:
                from_s, to_s = int(arguments[0]), int(arguments[1])
                self.wants_history = (max(from_s, to_s - MAX_HISTORY_S), to_s)
            case _:
                return Result.REFUSED
        return Result.DONE

    def _turn(self, closed: int, now_s: int) -> None:
        if closed and self.valve is Valve.OPEN:
            self._closures = [*self._closures[-MAX_CLOSURES + 1 :], (now_s, None)]
        elif not closed and self.valve is Valve.CLOSED:
            self._closures[-1] = (self._closures[-1][0], now_s)
