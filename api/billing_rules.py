"""Who may bill, and what a billing period may be called and span. Pure."""

from __future__ import annotations

from datetime import date

from api.roles import ForbiddenError, Principal, Role
from metering.errors import RequestError

NEEDED_ROLE = Role.ENGINEER
MAX_NAME_CHARACTERS = 64
MAX_PERIOD_DAYS = 400
FIRST_DAY, LAST_DAY = date(2010, 1, 1), date(2099, 12, 31)
"""Outside there are no readings."""


def check_role(who: Principal) -> None:
    """Raises ForbiddenError."""
    if who.role < NEEDED_ROLE:
        raise ForbiddenError(f"this needs the role {NEEDED_ROLE.label}; {who.login} is {who.role.label}")


def checked_name(name: str) -> str:
    """The name, trimmed. Raises RequestError when it could not stand in the path of an address."""
    name = name.strip()
    if not 0 < len(name) <= MAX_NAME_CHARACTERS or not name.isprintable():
        raise RequestError(f"a period's name has 1 to {MAX_NAME_CHARACTERS} printable characters")
    if "/" in name or not name.strip("."):
        raise RequestError("a period's name has no slash, and more than dots")
    return name


def check_days(first: date, last: date) -> None:
    """Raises RequestError."""
    if not 0 <= (last - first).days < MAX_PERIOD_DAYS:
        raise RequestError(f"a period has 1 to {MAX_PERIOD_DAYS} days, its first before its last")
    if first < FIRST_DAY or last > LAST_DAY:
        raise RequestError(f"a period lies from {FIRST_DAY} to {LAST_DAY}")
