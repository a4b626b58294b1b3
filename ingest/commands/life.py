"""What becomes of commands when something is said of them (metering.commands.TRANSITIONS). Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, NamedTuple

from metering.commands import (
    NEEDS_AUTHENTICATION,
    RESULTS,
    TRANSITIONS,
    WAITING_STATES,
    CommandState,
    Recall,
    database_id,
)
from metering.model import WEAK, Authentication

MAX_HANDOVER_EVENTS = 20
"""Handings over of one command that are written down one by one; further ones are only counted."""

MAX_RESULTS = 64
"""Results of one report that are looked at."""

_RECALLABLE = WAITING_STATES | {CommandState.CANCELLED}
"""Also while it waits: of a device that moved to another platform the former one is asked at once, and only then. It
counts when the command is cancelled later."""


class Said(NamedTuple):
    """Something that is said of a command of `device`. `authentication`: of the report that says so; None where a
    gateway itself or the platform says it. `told_id`: 16 bytes by which a gateway's news are known."""

    command_id: int
    device: str
    state: CommandState | Recall
    at: datetime
    actor: str
    detail: str = ""
    authentication: Authentication | None = None
    told_id: bytes | None = None


@dataclass(frozen=True, slots=True)
class Command:
    """What of a command's row decides and changes."""

    command_id: int
    device: str
    kind: int
    state: CommandState
    handovers: int
    handed_over_at: datetime | None
    ended_at: datetime | None


class Event(NamedTuple):
    """A row of command_events."""

    command_id: int
    at: datetime
    state: CommandState | Recall
    actor: str
    detail: str
    told_id: bytes | None


class Decided(NamedTuple):
    """`changed`: commands as they are now. `refused`: why something that was said changes nothing, with how often."""

    changed: dict[int, Command]
    events: list[Event]
    refused: dict[str, int]
    unknown: list[Said]
    """Said of what is no command of this device."""


def decide(commands: Mapping[int, Command], said: Iterable[Said]) -> Decided:
    """In the order in which it is said."""
    changed: dict[int, Command] = {}
    events: list[Event] = []
    refused: dict[str, int] = {}
    unknown: list[Said] = []
    for one in said:
        command = changed.get(one.command_id) or commands.get(one.command_id)
        if command is None or command.device != one.device:
            unknown.append(one)
            continue
        if reason := _objection(command, one):
            refused[reason] = refused.get(reason, 0) + 1
            continue
        after = _after(command, one)
        if after is not command:
            changed[one.command_id] = after
        if one.state is not CommandState.HANDED_OVER or after.handovers <= MAX_HANDOVER_EVENTS:
            events.append(Event(one.command_id, one.at, one.state, one.actor, one.detail, one.told_id))
    return Decided(changed, events, refused, unknown)


def _objection(command: Command, said: Said) -> str | None:
    if said.authentication in WEAK and command.kind in NEEDS_AUTHENTICATION:
        return "claimed"
    if isinstance(said.state, Recall):
        return None if command.state in _RECALLABLE else "nothing_to_recall"
    late_handover = said.state is CommandState.HANDED_OVER and command.state not in WAITING_STATES
    if late_handover and command.state is not CommandState.AWAITING_APPROVAL:
        return None  # the news came after the meter's own: it is written down and changes no state
    return None if said.state in TRANSITIONS[command.state] else "not_a_transition"


def _after(command: Command, said: Said) -> Command:
    if isinstance(said.state, Recall):
        return command
    if said.state is CommandState.HANDED_OVER:
        first = min(said.at, command.handed_over_at or said.at)
        state = said.state if command.state in WAITING_STATES else command.state
        return replace(command, state=state, handovers=command.handovers + 1, handed_over_at=first)
    return replace(command, state=said.state, ended_at=said.at)


def results_of(
    extra: Mapping[str, Any], device: str, at: datetime, authentication: Authentication, report: str
) -> list[Said]:
    """What a report says of commands (PROTOCOLS G, key 13): ``[[hex id, result], …]``. What is none is left out."""
    results = extra.get("results")
    if not isinstance(results, list):
        return []
    said = []
    for row in results[:MAX_RESULTS]:
        if not (isinstance(row, list) and len(row) == 2 and isinstance(row[0], str) and type(row[1]) is int):
            continue
        command_id, state = _database_id(row[0]), RESULTS.get(row[1])
        if command_id is not None and state is not None:
            said.append(Said(command_id, device, state, at, "meter", f"report {report}", authentication))
    return said


def _database_id(text: str) -> int | None:
    try:
        return database_id(bytes.fromhex(text))
    except ValueError:
        return None
