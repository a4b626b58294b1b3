"""The platform that is tormented, as verbs; whoever assembles the programs provides it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from simulators.chaos.plan import Kind
from simulators.target import Places, Register

Frozen = Sequence[tuple[int, int]]
"""Processes (number and start time) that were stopped together."""


class GoneError(Exception):
    """The victim does not run at the moment: another fault has it."""


class Platform(Protocol):
    """A running platform of its own. All verbs but `start` and `stop` return at once, or within seconds."""

    data: Path
    register: Register
    enrol: Register

    async def start(self) -> None:
        """Returns when it serves."""

    async def stop(self, keep: bool) -> None:
        """Ends every process and undoes every mount; removes the data unless it is to be kept. Harmless twice."""

    @property
    def impossible(self) -> Mapping[Kind, str]:
        """Kinds of fault that this machine does not allow, and why."""

    @property
    def places(self) -> Places:
        """Where its doors are; the same as long as it lives, a blackout included."""

    @property
    def database_url(self) -> str: ...

    @property
    def nats_url(self) -> str: ...

    def programs(self) -> Mapping[str, int]:
        """Name and process of all that live now."""

    def metrics_ports(self) -> Mapping[str, int]:
        """Of the programs that serve /readyz."""

    def said(self, program: str) -> str:
        """A program's log, from its first start on."""

    def kill(self, program: str) -> int:
        """kill -9; the process's number. Raises GoneError."""

    async def black_out(self) -> None:
        """kill -9 to everything in one instant, the supervisor too; returns when all of it, started anew on the same
        ports, serves. Raises GoneError; what starting raises otherwise means that it does not recover."""

    def freeze(self, program: str) -> Frozen:
        """SIGSTOP to it and all its children. Raises GoneError."""

    def thaw(self, frozen: Frozen) -> None:
        """SIGCONT to those that still live."""

    def step_clock(self, role: str, seconds: float) -> None:
        """The wall clock of all programs of the role is wrong by so much from now on; 0: right again.

        A server that is started later has a true clock: raises GoneError when there is none now.
        """

    def take_database_away(self) -> None:
        """kill -9, and its directory is not where it was: it cannot start again. Raises GoneError."""

    def bring_database_back(self) -> None: ...

    async def copy_database(self) -> None:
        """Keeps its files as they are at one instant, as a snapshot of the disk would. Raises GoneError."""

    def put_copy_back(self) -> None:
        """kill -9, and the files kept by `copy_database` take the place of the newer ones. Raises GoneError."""

    def fill_disk(self, server: str) -> None:
        """Nothing fits any more on the disk of `nats` or `postgres`."""

    def empty_disk(self, server: str) -> None: ...

    def start_second_ingest(self, beside: str) -> None:
        """Another worker with the settings of this one; it is `programs()["ingest.second"]` until it ends. What an
        earlier one `said` is forgotten."""

    async def end_second_ingest(self) -> None:
        """SIGTERM and wait; harmless when there is none."""


SECOND = "ingest.second"


def of_role(programs: Collection[str], role: str) -> list[str]:
    """Names of the role's programs: `gateway`, `gateway-1`, `gateway.2` are all gateways. The second ingest worker is
    nobody's victim but its own fault's."""
    return sorted(name for name in programs if name != SECOND and role_of(name) == role)


def role_of(program: str) -> str:
    """`gateway-1`: gateway."""
    return program.rstrip("0123456789").rstrip("-._#: ")
