"""How commands travel: down to the gateways as what waits for each device, and back as what gateways saw of them. Pure.

Down: a message a device, under a subject of its own, that says all that waits for it now; the stream keeps the newest
of each. Applying one twice changes nothing, and one that is missed is in the next. Back: batches of what was told, each
with an id of its own, so that telling it twice is telling it once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import cbor2

from metering.commands import CommandKind, WaitingCommand
from metering.errors import EnvelopeError
from metering.model import Door

MAX_WAITING_PER_DEVICE = 32
"""Commands that may be open for one device at a time."""

EVENT_ID_BYTES = 16
MAX_REASON_CHARACTERS = 200
_DOORS = {str(door): door for door in Door}


class DeviceCommands(NamedTuple):
    """Everything that waits for a device, oldest first; usually nothing or one."""

    device: str
    commands: tuple[WaitingCommand, ...]


class Told(NamedTuple):
    """What a gateway saw at `at_us` (Unix). `result`: a key of metering.commands.RESULTS or RECALLS, or None: it was
    handed over."""

    event_id: bytes
    at_us: int
    device: str
    command_id: bytes
    result: int | None
    reason: str
    door: Door


def encode_waiting(waiting: DeviceCommands) -> bytes:
    """``[device, [[id, kind, arguments, expires_s], …]]`` as CBOR."""
    rows = [[c.command_id, int(c.kind), dict(c.arguments), c.expires_s] for c in waiting.commands]
    return cbor2.dumps([waiting.device, rows])


def decode_waiting(body: bytes) -> DeviceCommands:
    """Raises EnvelopeError when the body is something else."""
    try:
        device, rows = cbor2.loads(body)
        commands = tuple(
            WaitingCommand(bytes(command_id), CommandKind(kind), dict(arguments), int(expires_s))
            for command_id, kind, arguments, expires_s in rows[:MAX_WAITING_PER_DEVICE]
        )
        return DeviceCommands(str(device), commands)
    except Exception as error:
        raise EnvelopeError(f"not what waits for a device: {error}") from error


def encode_told(told: Iterable[Told]) -> bytes:
    """A CBOR array of arrays."""
    return cbor2.dumps([list(one) for one in told])


def decode_told(body: bytes) -> Sequence[Told]:
    """Raises EnvelopeError when the body is something else."""
    try:
        return [_told(*row) for row in cbor2.loads(body)]
    except Exception as error:
        raise EnvelopeError(f"not what a gateway tells of commands: {error}") from error


def _told(
    event_id: bytes, at_us: int, device: str, command_id: bytes, result: int | None, reason: str, door: str
) -> Told:
    if len(event_id) != EVENT_ID_BYTES:
        raise EnvelopeError(f"an event id has {EVENT_ID_BYTES} bytes")
    return Told(
        bytes(event_id), int(at_us), str(device), bytes(command_id), None if result is None else int(result),
        str(reason)[:MAX_REASON_CHARACTERS], _DOORS[door],
    )  # fmt: skip
