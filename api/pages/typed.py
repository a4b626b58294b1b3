"""Days and local times as people type them into forms, read by the clocks of the utility.

A time that the clocks skip when they go forward is refused, for it was none. One that they show twice when they go back
is two instants: a form asks which is meant, or takes the one that its hint says.
"""

from __future__ import annotations

from datetime import UTC, date, datetime

from api.pages.clocks import instants_of
from api.pages.wording import Wording
from metering.errors import RequestError


def day(say: Wording, typed: object) -> date:
    """Raises RequestError."""
    try:
        return date.fromisoformat(str(typed or "").strip())
    except ValueError as error:
        raise RequestError(say("time.day_needed")) from error


def instant(say: Wording, typed: object) -> datetime:
    """In UTC what is typed as a local time or with an offset. Raises RequestError, also for a local time that comes
    twice."""
    found = _instants(say, typed)
    if len(found) > 1:
        first, second = (at.astimezone(say.zone) for at in found)
        both = {"first": first.isoformat(" "), "second": second.isoformat(" ")}
        raise RequestError(say("time.twice", time=_shown(first), **both))
    return found[0]


def span(say: Wording, begin: object, end: object) -> tuple[datetime, datetime]:
    """In UTC two local times. Of a begin that comes twice the first is meant, of an end the second: the longer span.
    Raises RequestError."""
    return _instants(say, begin)[0], _instants(say, end)[-1]


def _instants(say: Wording, typed: object) -> list[datetime]:
    """At least one. Raises RequestError."""
    try:
        wall = datetime.fromisoformat(str(typed or "").strip())
        found = [wall.astimezone(UTC)] if wall.tzinfo else instants_of(wall, say.zone)
    except (ValueError, OverflowError) as error:
        raise RequestError(say("time.needed")) from error
    if not found:
        after = wall.replace(tzinfo=say.zone).astimezone(UTC).astimezone(say.zone)
        raise RequestError(say("time.skipped", time=_shown(wall), after=_shown(after)))
    return found


def _shown(at: datetime) -> str:
    return at.strftime("%Y-%m-%d %H:%M")
