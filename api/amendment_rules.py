"""Who may say that a reading is another, and what a person must give for it. Pure."""

from __future__ import annotations

from api.roles import ForbiddenError, Principal, Role
from metering.errors import RequestError

NEEDED_ROLE = Role.ENGINEER
MAX_REASON_CHARACTERS = 500


def check_role(who: Principal) -> None:
    """Raises ForbiddenError."""
    if who.role < NEEDED_ROLE:
        raise ForbiddenError(f"this needs the role {NEEDED_ROLE.label}; {who.login} is {who.role.label}")


def check_reason(reason: str) -> str:
    """The reason, trimmed. Raises RequestError when there is none, or it is too long or not text."""
    text = reason.strip()
    if not text:
        raise RequestError("give the reason: it stands beside the value from then on")
    if len(text) > MAX_REASON_CHARACTERS:
        raise RequestError(f"a reason is limited to {MAX_REASON_CHARACTERS} characters")
    if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
        raise RequestError("the reason holds characters that are not text")
    return text


def check_index(index_ml: int | None, register_max_ml: int) -> None:
    """Raises RequestError for an index that the register cannot show; None takes a reading away."""
    if index_ml is not None and not 0 <= index_ml <= register_max_ml:
        raise RequestError(f"the register shows 0 to {register_max_ml} ml")
