"""The life of an alert: who may do what to it in which state. Pure; the whole rule is the table below.

The platform itself ends alerts in ingest; what stands here is what people may do.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from api.reasons import checked_reason
from metering.errors import ConflictError


class AlertState(StrEnum):
    OPEN = "open"
    ACKNOWLEDGED = "acknowledged"
    RESOLVED = "resolved"
    DISMISSED = "dismissed"


class AlertAction(StrEnum):
    ACKNOWLEDGE = "acknowledge"
    RESOLVE = "resolve"
    DISMISS = "dismiss"


TRANSITIONS: Mapping[tuple[AlertState, AlertAction], AlertState] = {
    (AlertState.OPEN, AlertAction.ACKNOWLEDGE): AlertState.ACKNOWLEDGED,
    (AlertState.OPEN, AlertAction.RESOLVE): AlertState.RESOLVED,
    (AlertState.OPEN, AlertAction.DISMISS): AlertState.DISMISSED,
    (AlertState.ACKNOWLEDGED, AlertAction.RESOLVE): AlertState.RESOLVED,
    (AlertState.ACKNOWLEDGED, AlertAction.DISMISS): AlertState.DISMISSED,
}

CLOSED = frozenset({AlertState.RESOLVED, AlertState.DISMISSED})
REASON_NEEDED = frozenset({AlertAction.DISMISS})


def next_state(state: AlertState, action: AlertAction) -> AlertState:
    """Raises ConflictError when the action is not open in this state."""
    try:
        return TRANSITIONS[state, action]
    except KeyError as error:
        raise ConflictError(f"an alert that is {state} cannot be {_PARTICIPLE[action]}") from error


def actions(state: AlertState) -> list[AlertAction]:
    """What may be done now, in the order of the table."""
    return [action for (from_state, action) in TRANSITIONS if from_state is state]


def check_reason(action: AlertAction, reason: str) -> str:
    """The reason, trimmed. Raises RequestError when it is missing where it is needed, too long or not text."""
    return checked_reason(reason, missing=f"to {action} an alert, give the reason" if action in REASON_NEEDED else "")


_PARTICIPLE = {
    AlertAction.ACKNOWLEDGE: "acknowledged",
    AlertAction.RESOLVE: "resolved",
    AlertAction.DISMISS: "dismissed",
}
