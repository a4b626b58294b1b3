"""What waits for meters, as the doors see it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from metering.commands import WaitingCommand
from metering.model import Authentication, Door


class Commands(Protocol):
    """Commands that wait, by canonical device name, oldest first. Answers come from memory: the hot path asks."""

    def waiting(self, device: str, authentication: Authentication) -> Sequence[WaitingCommand]:
        """Those that this device may have now; expired ones are left out. Usually empty, and then costs nothing."""
        ...

    def handed_over(self, device: str, command: WaitingCommand, door: Door) -> None:
        """It was sent. Told on durably; returns at once. A command stays waiting until the meter says how it ended."""
        ...

    def ended(self, device: str, command_id: bytes, result: int, reason: str, door: Door) -> None:
        """A door itself saw how it ended (an LwM2M answer, a platform's callback). `result`: a key of
        metering.commands.RESULTS."""
        ...

    def on_new(self, listener: Callable[[str], None]) -> None:
        """Call `listener` with the device's name when a command for it arrives: for doors that can reach it now."""
        ...


class RecallableCommands(Commands, Protocol):
    """For a door that leaves commands in somebody else's queue, and must fetch back those that were taken back here."""

    def still_waits(self, device: str, command_id: bytes) -> bool | None:
        """False: it certainly does not, however it ended. None: that cannot be said now."""
        ...

    def on_gone(self, listener: Callable[[str], None]) -> None:
        """Call `listener` with the device's name when a command for it waits no more."""
        ...

    def recalled(self, device: str, command_id: bytes, succeeded: bool, reason: str, door: Door) -> None:
        """Whether that queue gave it back. Told on durably; ingest writes it down of what was cancelled,
        or still waits (its device has moved to another platform)."""
        ...


class NoCommands:
    """Nothing ever waits."""

    def waiting(self, device: str, authentication: Authentication) -> Sequence[WaitingCommand]:  # noqa: ARG002 - named as the protocol names them
        return ()

    def handed_over(self, device: str, command: WaitingCommand, door: Door) -> None:  # noqa: ARG002 - named as the protocol names them
        return None

    def ended(self, device: str, command_id: bytes, result: int, reason: str, door: Door) -> None:  # noqa: ARG002 - named as the protocol names them
        return None

    def on_new(self, listener: Callable[[str], None]) -> None:  # noqa: ARG002 - named as the protocol names them
        return None
