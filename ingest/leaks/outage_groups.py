"""Which silent meters are one outage: of a radio cell, a zone, a door or the whole platform. Pure.

When a meter was heard last says little: meters that report once a day are spread over it. Their next reports are what
an outage swallows, so a group is judged from when these were due: since then hardly anybody of it was heard.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

KINDS = ("cell", "zone", "door", "platform")
"""What meters share; of groups that explain nearly as much, the first."""
NEARLY = 0.9
SHORTEST_S = 300
"""The time in which they were due is at least this long: that the few of one second are all missing says nothing."""
MAX_GROUPS = 100
"""Judged in one round, the largest first."""


class Silent(NamedTuple):
    """A silent meter, its last and its next report (Unix seconds), and what it shares with others, by kind."""

    meter_id: int
    heard_at_s: int
    due_at_s: int
    """By its own rhythm; where none is known, as early as may be: when it was heard last."""
    shares: Mapping[str, str]
    was_out: bool = False
    """It was part of an outage that is over, and was not heard since."""


class Group(NamedTuple):
    """Silent meters that share something, and when the newest reports of `missing` of them were due."""

    kind: str
    key: str
    silent: Sequence[Silent]
    missing: int
    from_s: int
    until_s: int


class Heard(NamedTuple):
    """Meters of a group that are not silent."""

    since: int
    """Heard since `from_s`: at least as many as were heard while the reports of the silent ones were due."""
    within: int
    """Heard last between `from_s` and `until_s`: at most as many."""
    before_s: int
    """The newest report of any meter of the group before `from_s`."""


class Outage(NamedTuple):
    group: Group
    heard: int
    began_s: int


def groups(silent: Iterable[Silent], min_meters: int) -> list[Group]:
    """Groups with so many silent meters, the largest first. A meter may be in several."""
    found: dict[tuple[str, str], list[Silent]] = defaultdict(list)
    for meter in silent:
        for kind, key in meter.shares.items():
            found[kind, key].append(meter)
    large = [_group(*shared, members, min_meters) for shared, members in found.items() if len(members) >= min_meters]
    return sorted(large, key=lambda group: (-len(group.silent), KINDS.index(group.kind), group.key))[:MAX_GROUPS]


def _group(kind: str, key: str, silent: list[Silent], min_meters: int) -> Group:
    due = sorted((meter.due_at_s for meter in silent), reverse=True)
    from_s, until_s = due[min_meters - 1], due[0]
    wider_s = max(0, SHORTEST_S - (until_s - from_s)) // 2
    missing = sum(due_at_s >= from_s - wider_s for due_at_s in due)
    return Group(kind, key, silent, missing, from_s - wider_s, until_s + wider_s)


def is_outage(missing: int, heard: int, min_meters: int, min_share: float) -> bool:
    """Whether so many missing meters, beside so many that were heard, are an event, not so many single meters."""
    return missing >= min_meters and missing >= min_share * (missing + heard)


def enough_heard(missing: int, min_share: float) -> int:
    """So many meters that are heard beside these make it no outage; one more where the share is not exact in binary."""
    return int(missing * (1 - min_share) / min_share) + 2


def outage(group: Group, heard: int, before_s: int) -> Outage:
    """It began after the last report that came before those that are missing."""
    silent_since_s = [meter.heard_at_s for meter in group.silent if meter.heard_at_s <= group.from_s]
    return Outage(group, heard, max([before_s, *silent_since_s]))


def best_first(found: Iterable[Outage]) -> Iterator[Outage]:
    """What explains most first; of those that explain nearly as much, that of which fewest others were heard."""
    rest = sorted(found, key=lambda one: -len(one.group.silent))
    while rest:
        near = [one for one in rest if len(one.group.silent) >= NEARLY * len(rest[0].group.silent)]
        best = min(near, key=lambda one: (one.heard, KINDS.index(one.group.kind), one.group.key))
        yield best
        rest.remove(best)
