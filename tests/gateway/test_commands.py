"""Nothing waits where no commands are mirrored; what waits goes into the answer, and only when the report is taken."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gateway.commands import NoCommands
from gateway.custody import Settle
from gateway.devices import Devices
from gateway.intake import Intake
from metering.commands import CommandKind, WaitingCommand
from metering.errors import CustodyError, StreamFullError
from metering.model import Authentication, Door
from metering.registry import ENABLED, RegistryEntry

CLOCK = WaitingCommand(b"12345678", CommandKind.SET_CLOCK, {0: 1}, 2_000_000_000)


class Waiting(NoCommands):
    def __init__(self) -> None:
        self.told: list[tuple[str, WaitingCommand, Door]] = []

    def waiting(self, device: str, authentication: Authentication) -> Sequence[WaitingCommand]:
        return (CLOCK,) if device == "dev" else ()

    def handed_over(self, device: str, command: WaitingCommand, door: Door) -> None:
        self.told.append((device, command, door))


class Ends:
    """Custody that ends at once."""

    def __init__(self, failure: CustodyError | None) -> None:
        self._failure = failure

    def take(self, *arguments: Any) -> None:
        settle: Settle = arguments[-1]
        settle(self._failure)


def answers(failure: CustodyError | None, name: str = "dev") -> tuple[list[object], Waiting]:
    devices, commands, got = Devices(), Waiting(), []
    for device in ("dev", "other"):
        devices.apply(RegistryEntry(device, (device,), ("::/0",), ENABLED))
    devices.ready = devices.complete = True

    def settle(failure: CustodyError | None, command: WaitingCommand | None = None) -> None:
        got.append((failure, command))

    Intake(devices, Ends(failure), commands).take(Door.COAP, name, 1, "s", 60, b"p", settle)
    return got, commands


def test_a_waiting_command_is_in_the_answer_and_that_is_told() -> None:
    got, commands = answers(None)
    assert got == [(None, CLOCK)]
    assert commands.told == [("dev", CLOCK, Door.COAP)]


def test_a_report_that_was_not_taken_gets_no_command() -> None:
    failure = StreamFullError("full")
    got, commands = answers(failure)
    assert got == [(failure, None)]
    assert not commands.told


def test_other_devices_get_none() -> None:
    assert answers(None, "other")[0] == [(None, None)]
    assert not NoCommands().waiting("dev", Authentication.OSCORE)
