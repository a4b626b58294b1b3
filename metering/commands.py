"""Commands to meters: their kinds, their life, and how they travel (PROTOCOLS G, DESIGN section 4). Pure."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum, StrEnum
from types import MappingProxyType
from typing import Any, NamedTuple

import cbor2

from metering.model import WEAK, Authentication, ContentFormat

COMMAND_ID_BYTES = 8
DEFAULT_TTL_S = 48 * 3600
MAX_TTL_S = 31 * 86_400
"""A meter that reports once a month hears of it; longer than what the stream keeps nothing may wait."""


class CommandKind(IntEnum):
    """What the meter should do. The value travels in the answer; RAW is ours: a frame handed over as it is."""

    REPORT_NOW = 1
    VALVE = 2
    REPORTING_PLAN = 3
    SET_CLOCK = 4
    READ_HISTORY = 5
    FIRMWARE = 6
    RAW = 100


NEEDS_AUTHENTICATION = frozenset({CommandKind.VALVE, CommandKind.FIRMWARE, CommandKind.RAW})
"""Never handed to a device that only its source network, or a product it is not bound to, vouches for (DESIGN section
5.3)."""


class CommandState(StrEnum):
    """QUEUED → HANDED_OVER → one of the others, which are final."""

    AWAITING_APPROVAL = "awaiting_approval"
    QUEUED = "queued"
    HANDED_OVER = "handed_over"
    CONFIRMED = "confirmed"
    FAILED = "failed"
    REFUSED = "refused"
    EXPIRED = "expired"
    CANCELLED = "cancelled"


_S = CommandState
TRANSITIONS: Mapping[CommandState, frozenset[CommandState]] = MappingProxyType(
    {
        _S.AWAITING_APPROVAL: frozenset({_S.QUEUED, _S.CANCELLED, _S.EXPIRED}),
        _S.QUEUED: frozenset({_S.HANDED_OVER, _S.CONFIRMED, _S.FAILED, _S.REFUSED, _S.EXPIRED, _S.CANCELLED}),
        # Handed over again at each report until the meter says how it ended: the id makes a second delivery harmless.
        _S.HANDED_OVER: frozenset({_S.HANDED_OVER, _S.CONFIRMED, _S.FAILED, _S.REFUSED, _S.EXPIRED, _S.CANCELLED}),
        _S.CONFIRMED: frozenset(),
        _S.FAILED: frozenset(),
        _S.REFUSED: frozenset(),
        # A meter that was told in time may say so late: what it did is true, whatever the clock says.
        _S.EXPIRED: frozenset({_S.CONFIRMED, _S.FAILED, _S.REFUSED}),
        _S.CANCELLED: frozenset({_S.CONFIRMED, _S.FAILED, _S.REFUSED}),
    }
)

RESULTS: Mapping[int, CommandState] = MappingProxyType({0: _S.CONFIRMED, 1: _S.FAILED, 2: _S.REFUSED, 3: _S.EXPIRED})
"""What a meter reports of a command (PROTOCOLS G, key 13)."""


class Recall(StrEnum):
    """What became of a command that was cancelled here while an operator's platform had it in its own queue. Written
    down beside the command's states, and is none."""

    RECALLED = "recalled"
    NOT_RECALLED = "not_recalled"


RECALLED, NOT_RECALLED = 10, 11
RECALLS: Mapping[int, Recall] = MappingProxyType({RECALLED: Recall.RECALLED, NOT_RECALLED: Recall.NOT_RECALLED})
"""What a gateway tells of it, in the place of a result."""

WAITING_STATES = frozenset({_S.QUEUED, _S.HANDED_OVER})
"""Gateways hand these over."""

OPEN_STATES = WAITING_STATES | {_S.AWAITING_APPROVAL}


def database_id(command_id: bytes) -> int | None:
    """The key in the database of an id as it travels; None when it cannot be one of ours."""
    number = int.from_bytes(command_id, "big")
    return number if len(command_id) == COMMAND_ID_BYTES and number < 1 << 63 else None


def travelling_id(command_id: int) -> bytes:
    """The reverse of `database_id`."""
    return command_id.to_bytes(COMMAND_ID_BYTES, "big")


def arguments_to_json(arguments: Mapping[int, Any]) -> dict[str, Any]:
    """As the database keeps them: bytes as ``{"hex": "…"}``."""
    return {str(k): {"hex": v.hex()} if isinstance(v, bytes) else v for k, v in arguments.items()}


def arguments_from_json(document: Mapping[str, Any]) -> dict[int, Any]:
    """The reverse of `arguments_to_json`. Raises ValueError, KeyError or TypeError where it is something else."""
    return {int(k): bytes.fromhex(v["hex"]) if isinstance(v, dict) else v for k, v in document.items()}


class WaitingCommand(NamedTuple):
    """A command on its way to a gateway. `expires_s`: Unix seconds. `arguments`: by the small integers of PROTOCOLS G;
    of RAW ``{0: frame}``."""

    command_id: bytes
    kind: CommandKind
    arguments: Mapping[int, Any]
    expires_s: int

    def may_go_to(self, authentication: Authentication) -> bool:
        """Whether a device that is vouched for so may have it."""
        return authentication not in WEAK or self.kind not in NEEDS_AUTHENTICATION

    def is_named_in(self, payload: bytes) -> bool:
        """Whether a report holds its id. Such a report says how the command ended (PROTOCOLS G, key 13), which only
        ingest can read; that the device has it can be seen without."""
        return self.command_id in payload or self.command_id.hex().encode() in payload

    @property
    def content_format(self) -> ContentFormat:
        """Of `answer`."""
        return ContentFormat.OCTET_STREAM if self.kind is CommandKind.RAW else ContentFormat.CBOR

    def answer(self) -> bytes:
        """The payload of the answer to a report; of RAW the frame alone."""
        if self.kind is CommandKind.RAW:
            return bytes(self.arguments[0])
        return cbor2.dumps({0: self.command_id, 1: int(self.kind), 2: dict(self.arguments), 3: self.expires_s})
