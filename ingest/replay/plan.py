"""What a replay changes, decided for some meters at once. Pure.

The rule (docs/decisions/0012-replay.md). The reports that may have delivered a stored reading are those of its meter
whose times, as they were read then, enclose the reading's. When all of them are read anew, the reading is what the
first of them that holds its key says today; when none of them holds it any more, it is withdrawn. When one of them is
not read anew (not chosen, unreadable today, its raw bytes gone), the reading stays, and what contradicts it is a
conflict. A key that nobody has stored is added, from the first report that holds it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from ..placing import Placed

Key = tuple[int, int, int]
"""meter_id, Unix seconds, kind."""


class Stretch(NamedTuple):
    """The times of a report's readings as they were read when it was taken, Unix seconds, both included."""

    meter_id: int
    first_s: int
    last_s: int


class Claim(NamedTuple):
    """What a report says today; `report` is its position."""

    index_ml: int
    report: int


@dataclass(frozen=True, slots=True)
class Contradiction:
    """A report says `other_ml` where `stored_ml` stands and stays."""

    key: Key
    stored_ml: int
    other_ml: int
    report: int


@dataclass(slots=True)
class Plan:
    """What becomes of the readings. Values are whole millilitres."""

    added: dict[Key, int] = field(default_factory=dict)
    changed: dict[Key, tuple[int, int]] = field(default_factory=dict)
    """Stored before, and what today's decoder says."""
    withdrawn: dict[Key, int] = field(default_factory=dict)
    contradictions: list[Contradiction] = field(default_factory=list)
    unchanged: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    """Readings by meter."""
    first_claims: dict[Key, Claim] = field(default_factory=dict)

    @property
    def touched(self) -> dict[int, tuple[int, int]]:
        """For each meter whose readings change, the first and last time at which they do."""
        reach: dict[int, tuple[int, int]] = {}
        for meter_id, ts_s, _ in (*self.added, *self.changed, *self.withdrawn):
            first_s, last_s = reach.get(meter_id, (ts_s, ts_s))
            reach[meter_id] = (min(first_s, ts_s), max(last_s, ts_s))
        return reach


class _Cover:
    """Which instants of which meter some stretches enclose."""

    def __init__(self, stretches: Iterable[Stretch]) -> None:
        by_meter: dict[int, list[tuple[int, int]]] = defaultdict(list)
        for meter_id, first_s, last_s in sorted(stretches):
            merged = by_meter[meter_id]
            if merged and first_s <= merged[-1][1]:
                merged[-1] = (merged[-1][0], max(merged[-1][1], last_s))
            else:
                merged.append((first_s, last_s))
        self._by_meter = by_meter

    def has(self, meter_id: int, ts_s: int) -> bool:
        stretches = self._by_meter.get(meter_id, [])
        at = bisect_right(stretches, (ts_s, 2**63)) - 1
        return at >= 0 and stretches[at][0] <= ts_s <= stretches[at][1]


def plan(
    placed: Sequence[Placed], asked: Iterable[Stretch], others: Iterable[Stretch], stored: Mapping[Key, int]
) -> Plan:
    """`placed`: the reports as they are read today, in the order of their receipt. `asked`: the stretches that these
    reports had; `others`: those of all other reports of the same meters. `stored`: the readings there are, at least
    those within the stretches and at the times of `placed`."""
    made, asked_cover, other_cover = Plan(), _Cover(asked), _Cover(others)

    def is_theirs(key: Key) -> bool:
        return asked_cover.has(key[0], key[1]) and not other_cover.has(key[0], key[1])

    later: list[tuple[Key, Claim]] = []
    for position, report in enumerate(placed):
        for key, index_ml in claims_of(report):
            claim = Claim(index_ml, position)
            if made.first_claims.setdefault(key, claim) is not claim:
                later.append((key, claim))
    final: dict[Key, int] = {}
    for key, claim in made.first_claims.items():
        final[key] = _decide(made, key, claim, stored.get(key), is_theirs(key))
    for key, claim in later:
        if claim.index_ml != final[key]:
            made.contradictions.append(Contradiction(key, final[key], claim.index_ml, claim.report))
    for key, index_ml in stored.items():
        if key not in made.first_claims and is_theirs(key):
            made.withdrawn[key] = index_ml
    return made


def _decide(made: Plan, key: Key, claim: Claim, there_ml: int | None, theirs: bool) -> int:
    """The index that the key has in the end."""
    if there_ml is None:
        made.added[key] = claim.index_ml
    elif there_ml == claim.index_ml:
        made.unchanged[key[0]] += 1
    elif theirs:
        made.changed[key] = (there_ml, claim.index_ml)
    else:
        made.contradictions.append(Contradiction(key, there_ml, claim.index_ml, claim.report))
        return there_ml
    return claim.index_ml


def claims_of(report: Placed) -> Iterable[tuple[Key, int]]:
    for segment in report.segments:
        for ts_s, index_ml in zip(segment.ts_s, segment.index_ml, strict=True):
            yield (segment.meter_id, ts_s, int(report.kind)), index_ml
