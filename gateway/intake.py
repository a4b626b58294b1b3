"""What happens to a report, whatever the door: identify → authenticate → custody → answer (DESIGN section 6)."""

from __future__ import annotations

from functools import partial
from typing import Protocol

from gateway.commands import Commands, NoCommands
from gateway.custody import Minted, Settle
from gateway.devices import Devices
from metering.commands import WaitingCommand
from metering.errors import AdmissionError, CustodyError, RegistryNotLoadedError, UnauthorisedError
from metering.model import Authentication, Door


class Custody(Protocol):
    """Takes a report and tells `settle` once how it ended; at once when it already knows."""

    def take(
        self,
        door: Door,
        authentication: Authentication,
        device: str,
        content_format: int,
        payload: bytes,
        source: str,
        settle: Settle,
        minted: Minted | None = None,
    ) -> None:
        """`minted`: its identity when it has one already. Raises CustodyBusyError, and then never calls `settle`."""
        ...


class Intake:
    """The verbs. A door calls `take` with what it got and answers when `settle` is called or an error is raised.

    A door that authenticates its senders passes what vouches for them as `vouched`; the plain doors pass None and the
    sender's address decides.
    """

    def __init__(self, devices: Devices, custody: Custody, commands: Commands | None = None) -> None:
        self._devices, self._custody = devices, custody
        self._commands = NoCommands() if commands is None else commands

    def take(
        self,
        door: Door,
        name: str,
        address: int,
        source: str,
        content_format: int,
        payload: bytes,
        settle: Settle,
        vouched: Authentication | None = None,
        carries_commands: bool = True,
        minted: Minted | None = None,
    ) -> None:
        """Take one report of the device that calls itself `name`, sent from `address` (128 bits; IPv4 mapped).

        `carries_commands`: the door's answer has room for a command, which `settle` is then given. Raises
        RegistryNotLoadedError, UnauthorisedError, CustodyBusyError; `settle` is not called then.
        """
        device, authentication = self._authenticate(name, address, vouched)
        if carries_commands and self._commands.waiting(device, authentication):
            settle = partial(self._answer_with, settle, device, authentication, payload, door)
        known = () if minted is None else (minted,)  # a custody that mints itself needs no such argument
        self._custody.take(door, authentication, device, content_format, payload, source, settle, *known)

    def take_unplaced(
        self,
        door: Door,
        name: str,
        source: str,
        content_format: int,
        payload: bytes,
        settle: Settle,
        vouched: Authentication,
        minted: Minted | None = None,
    ) -> None:
        """Take what an authenticated platform says of a device nobody knows: ingest shows it as a dead letter.

        Such platforms punish a refusal by dropping what follows. Raises RegistryNotLoadedError while the device may
        still be known, and CustodyBusyError.
        """
        if not (self._devices.ready and self._devices.complete):
            raise self._not_found()
        self._custody.take(door, vouched, name, content_format, payload, source, settle, minted)

    def admit(self, name: str, address: int, vouched: Authentication | None = None) -> str:
        """The canonical name of a sender that may speak, before its report is complete. Raises as `take` does."""
        return self._authenticate(name, address, vouched)[0]

    def _answer_with(
        self,
        settle: Settle,
        device: str,
        authentication: Authentication,
        payload: bytes,
        door: Door,
        failure: CustodyError | None,
    ) -> None:
        """One command an answer: the oldest, so that each meter's order is kept; asked for again now that the report is
        on disk, for it may have been cancelled meanwhile."""
        command = None if failure is not None else self._next_for(device, authentication, payload)
        if command is None:
            settle(failure)
            return
        settle(None, command)
        self._commands.handed_over(device, command, door)

    def _next_for(self, device: str, authentication: Authentication, payload: bytes) -> WaitingCommand | None:
        """The oldest whose id the report does not hold."""
        for command in self._commands.waiting(device, authentication):
            if not command.is_named_in(payload):
                return command
        return None

    def _authenticate(self, name: str, address: int, vouched: Authentication | None) -> tuple[str, Authentication]:
        """DESIGN section 5.3: plain senders are bound to their network, and a device with a key must use it."""
        found = self._devices.find(name) if self._devices.ready else None
        if found is None:
            raise self._not_found()
        device, policy = found
        if vouched is not None:
            return device, vouched
        if policy.has_key:
            raise UnauthorisedError("key_not_used")
        if not policy.admits(address):
            raise UnauthorisedError("source_network")
        return device, Authentication.CLAIMED

    def _not_found(self) -> AdmissionError:
        if not self._devices.ready:
            return RegistryNotLoadedError("registry_not_loaded")
        return UnauthorisedError("unknown_device") if self._devices.complete else RegistryNotLoadedError("gap")
