"""Who may command what, and what stands between a person and a closed valve. Pure; the rule is the table below.

Closing needs an engineer, a reason, and the approval of somebody else; it never reaches whom water must not be cut off
from, and never many at once. A raw frame may close as well: the same holds for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from api.reasons import checked_reason
from api.roles import ForbiddenError, Principal, Role
from metering.command_arguments import kind_name, may_close
from metering.commands import CommandKind, CommandState
from metering.errors import ConflictError, RequestError

NEEDED_ROLE: Mapping[CommandKind, Role] = MappingProxyType(
    {
        CommandKind.REPORT_NOW: Role.OPERATOR,
        CommandKind.SET_CLOCK: Role.OPERATOR,
        CommandKind.READ_HISTORY: Role.OPERATOR,
        CommandKind.VALVE: Role.ENGINEER,
        CommandKind.REPORTING_PLAN: Role.ENGINEER,
        CommandKind.FIRMWARE: Role.ENGINEER,
        CommandKind.RAW: Role.ENGINEER,
    }
)
"""To file, approve and cancel."""

REASON_NEEDED = frozenset({CommandKind.VALVE, CommandKind.RAW})


def check_role(who: Principal, kind: CommandKind) -> None:
    """Raises ForbiddenError."""
    if who.role < NEEDED_ROLE[kind]:
        needed = NEEDED_ROLE[kind].label
        raise ForbiddenError(f"{kind_name(kind)} needs the role {needed}; {who.login} is {who.role.label}")


def check_filing(who: Principal, kind: CommandKind, reason: str) -> str:
    """The reason, trimmed. Raises ForbiddenError, and RequestError when a reason is missing or is no text.

    Firmware is for campaigns alone, which check what they send.
    """
    if kind is CommandKind.FIRMWARE:
        raise RequestError("firmware is sent by a campaign")
    check_role(who, kind)
    return check_reason(reason, kind in REASON_NEEDED)


def check_reason(reason: str, needed: bool) -> str:
    """The reason, trimmed. Raises RequestError."""
    return checked_reason(reason, missing="give the reason" if needed else "")


def first_state(kind: CommandKind, arguments: Mapping[int, Any]) -> CommandState:
    """Of a command that was just filed."""
    return CommandState.AWAITING_APPROVAL if may_close(kind, arguments) else CommandState.QUEUED


def check_closing(serial: str, critical: bool) -> None:
    """Raises ConflictError where water must never be cut off."""
    if critical:
        raise ConflictError(f"{serial} supplies a critical customer: its valve is never closed from here")


def check_approver(who: Principal, filed_by: str, kind: CommandKind) -> None:
    """Raises ForbiddenError unless somebody else of sufficient role approves."""
    check_role(who, kind)
    if who.login == filed_by:
        raise ForbiddenError("who files a command cannot approve it: somebody else must")


def check_number(count: int, limit: int, whose: str) -> None:
    """Raises ConflictError when these were too many closings."""
    if count > limit:
        raise ConflictError(f"{whose} would close {count} valves, at most {limit} may be")
