"""Which silent meters fell silent together: most of a zone, a radio cell or a door within the same hours. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

KINDS = ("cell", "zone", "door")
"""What meters share; of two that explain as much, the first."""


class Silent(NamedTuple):
    """A silent meter, when it was heard last (Unix seconds), and what it shares with others, by kind."""

    meter_id: int
    heard_at_s: int
    shares: Mapping[str, str]


class Candidate(NamedTuple):
    """A group whose silent meters were heard last between `from_s` and `to_s`."""

    kind: str
    key: str
    from_s: int
    to_s: int
    meters: frozenset[int]


def candidates(silent: Iterable[Silent], min_meters: int, within_s: int) -> list[Candidate]:
    """Groups with so many silent meters within so long, the largest first. A meter may be in several."""
    groups: dict[tuple[str, str], list[Silent]] = defaultdict(list)
    for meter in silent:
        for kind, key in meter.shares.items():
            groups[kind, key].append(meter)
    found = [
        _densest(kind, key, sorted(members, key=lambda meter: meter.heard_at_s), within_s)
        for (kind, key), members in groups.items()
        if len(members) >= min_meters
    ]
    large = [candidate for candidate in found if len(candidate.meters) >= min_meters]
    return sorted(large, key=lambda group: (-len(group.meters), KINDS.index(group.kind), group.key))


def _densest(kind: str, key: str, members: Sequence[Silent], within_s: int) -> Candidate:
    """The stretch of `within_s` in which most of the members were heard last."""
    best, low = (0, 0), 0
    for high, member in enumerate(members):
        while member.heard_at_s - members[low].heard_at_s > within_s:
            low += 1
        if high - low >= best[1] - best[0]:
            best = (low, high + 1)
    chosen = members[best[0] : best[1]]
    meters = frozenset(meter.meter_id for meter in chosen)
    return Candidate(kind, key, chosen[0].heard_at_s, chosen[-1].heard_at_s, meters)


def is_outage(silent: int, members: int, min_meters: int, min_share: float) -> bool:
    """Whether so many of a group's members are an event, not so many single meters."""
    return silent >= min_meters and silent >= min_share * members
