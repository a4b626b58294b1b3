"""Tells apart what happened to a meter: events of one kind in order of time, cut into incidents. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from ingest.leaks.events import Event, Kind, Phase
from ingest.leaks.habits import NONE, States

RAISED: dict[Kind, str] = {
    Kind.LEAK: "leak_h", Kind.BURST: "burst_h", Kind.REVERSE: "reverse_h", Kind.STUCK: "stuck_h",
    Kind.UNDER: "under_h",
}  # fmt: skip
"""Where a state says that a fault of this kind is raised."""


class Incident(NamedTuple):
    """One fault of one meter, as far as it happened in the days that were followed."""

    meter: int
    kind: Kind
    raised: Event | None
    """None: it was raised before those days."""
    confirmed: Event | None
    cleared: Event | None
    """None: it lasts."""

    @property
    def events(self) -> list[Event]:
        """In order of time, each once."""
        return list(dict.fromkeys(event for event in self[2:] if isinstance(event, Event)))


def told_apart(events: Iterable[Event], before: States, now: States) -> Iterator[list[Incident]]:
    """First the first incident of each meter and kind, then the second of those that have one, and so on. `before` are
    the states before the days followed, `now` those after: of what lasts there is an incident without any event."""
    by_fault: dict[tuple[int, Kind], list[Event]] = defaultdict(list)
    for kind, name in RAISED.items():
        for at in ((before[name] != NONE) | (now[name] != NONE)).nonzero()[0].tolist():
            by_fault[at, kind] = []
    for event in events:
        by_fault[event.meter, event.kind].append(event)
    courses = [list(_incidents(*fault, before, found)) for fault, found in by_fault.items()]
    for number in range(max(map(len, courses), default=0)):
        yield [course[number] for course in courses if number < len(course)]


def _incidents(at: int, kind: Kind, before: States, events: list[Event]) -> Iterator[Incident]:
    nothing: Mapping[str, Event | None] = {"raised": None, "confirmed": None, "cleared": None}
    current = Incident(at, kind, **nothing) if before[RAISED[kind]][at] != NONE else None
    for event in events:
        if event.phase is Phase.CLEARED:
            if current is not None:
                yield current._replace(cleared=event)
            current = None
        elif current is None:
            confirmed = event if event.phase is Phase.CONFIRMED else None
            current = Incident(at, kind, event, confirmed, None)
        else:
            current = current._replace(confirmed=event)
    if current is not None:
        yield current
