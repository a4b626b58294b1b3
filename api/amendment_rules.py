"""Who may say that a reading is another, and what a person must give for it. Pure."""

from __future__ import annotations

from api.reasons import checked_reason
from api.roles import ForbiddenError, Principal, Role
from metering.errors import RequestError

NEEDED_ROLE = Role.ENGINEER


def check_role(who: Principal) -> None:
    """Raises ForbiddenError."""
    if who.role < NEEDED_ROLE:
        raise ForbiddenError(f"this needs the role {NEEDED_ROLE.label}; {who.login} is {who.role.label}")


def check_reason(reason: str) -> str:
    """The reason, trimmed. Raises RequestError when there is none, or it is too long or not text."""
    return checked_reason(reason, missing="give the reason: it stands beside the value from then on")


def check_index(index_ml: int | None, register_max_ml: int) -> None:
    """Raises RequestError for an index that the register cannot show; None takes a reading away."""
    if index_ml is not None and not 0 <= index_ml <= register_max_ml:
        raise RequestError(f"the register shows 0 to {register_max_ml} ml")
