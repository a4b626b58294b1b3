"""When and for what alerts may be suppressed. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from api.alert_kinds import OF_ZONES, SUPPRESSIBLE
from api.reasons import checked_reason
from metering.errors import RequestError

LONGEST = timedelta(days=366)
"""What is to be silent for longer is no suppression but something to mend."""
EARLIEST_BACK = timedelta(days=30)
"""A window may begin so long before it is made: works of which nobody told."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """For a meter (`serial`) or a zone with those below it (`zone`, its code), exactly one. `kind` None: all kinds."""

    serial: str | None
    zone: str | None
    kind: str | None
    valid_from: datetime
    valid_to: datetime
    reason: str


def check(wanted: Wanted, now: datetime) -> str:
    """The reason, trimmed. Raises RequestError."""
    if bool(wanted.serial) == bool(wanted.zone):
        raise RequestError("name a meter or a zone, not both")
    if wanted.kind is not None and wanted.kind not in SUPPRESSIBLE:
        raise RequestError(f"kind is one of {', '.join(SUPPRESSIBLE)}")
    if wanted.serial and wanted.kind in OF_ZONES:
        raise RequestError(f"{wanted.kind} is raised for zones, not for meters")
    if wanted.valid_from.tzinfo is None or wanted.valid_to.tzinfo is None:
        raise RequestError("an instant has an offset")
    if wanted.valid_to <= now:
        raise RequestError("the window is over before it begins to matter: `valid_to` lies in the past")
    if wanted.valid_from < now - EARLIEST_BACK:
        raise RequestError(f"a window begins at most {EARLIEST_BACK.days} days ago")
    if not timedelta() < wanted.valid_to - wanted.valid_from <= LONGEST:
        raise RequestError(f"a window lasts longer than nothing and at most {LONGEST.days} days")
    return checked_reason(wanted.reason, missing="give the reason: it says why nobody was alerted")
