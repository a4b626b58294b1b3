"""received = stored + partial + duplicate + dead-lettered, per door and local day of receipt (DESIGN section 3.6)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

from metering.envelope import Report
from metering.model import Outcome

from .classify import Repeats

_QUARTER_US = 900_000_000
_OUTCOMES = tuple(Outcome)

_ADD = """
    INSERT INTO accounting (door, day, received, stored, partial, duplicate, dead_lettered, repeats)
    SELECT * FROM unnest($1::text[], $2::date[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[],
                         $8::bigint[])
    ON CONFLICT (door, day) DO UPDATE SET
        received = accounting.received + EXCLUDED.received,
        stored = accounting.stored + EXCLUDED.stored,
        partial = accounting.partial + EXCLUDED.partial,
        duplicate = accounting.duplicate + EXCLUDED.duplicate,
        dead_lettered = accounting.dead_lettered + EXCLUDED.dead_lettered,
        repeats = accounting.repeats + EXCLUDED.repeats
"""


@lru_cache(maxsize=8_192)
def _day_of_quarter(quarter: int, zone: ZoneInfo) -> date:
    return datetime.fromtimestamp(quarter * _QUARTER_US // 1_000_000, UTC).astimezone(zone).date()


def local_day(at_us: int, zone: ZoneInfo) -> date:
    """The local day of an instant; offsets from UTC are whole quarters of an hour everywhere since 1972."""
    return _day_of_quarter(at_us // _QUARTER_US, zone)


class Tally:
    """What one transaction adds to the accounts."""

    def __init__(self, zone: ZoneInfo) -> None:
        self._zone = zone
        self._counts: dict[tuple[str, date], dict[str, int]] = {}

    def end(self, ends: Iterable[tuple[Report, Outcome]]) -> None:
        """Reports were received and ended so."""
        counted = Counter((report.door, report.received_at_us // _QUARTER_US, outcome) for report, outcome in ends)
        for (door, quarter, outcome), count in counted.items():
            counts = self._at(door, quarter * _QUARTER_US)
            counts["received"] += count
            counts[outcome] += count

    def move(self, door: str, received_at_us: int, before: Outcome, after: Outcome) -> None:
        """A report that had ended one way ends in another."""
        counts = self._at(door, received_at_us)
        counts[before] -= 1
        counts[after] += 1

    def withdraw(self, door: str, received_at_us: int, outcome: Outcome) -> None:
        """What had been counted as one report was none."""
        counts = self._at(door, received_at_us)
        counts["received"] -= 1
        counts[outcome] -= 1

    def repeats(self, repeats: Iterable[Repeats]) -> None:
        for repeat in repeats:
            self._at(repeat.door, repeat.at_us)["repeats"] += repeat.count

    async def add_to_accounts(self, connection: Any) -> None:
        """Rows are taken in one order everywhere, so that two transactions cannot lock one another out."""
        rows = [(*key, *counts.values()) for key, counts in sorted(self._counts.items())]
        if rows:
            await connection.execute(_ADD, *map(list, zip(*rows, strict=True)))

    def _at(self, door: str, at_us: int) -> dict[str, int]:
        key = (door, local_day(at_us, self._zone))
        if key not in self._counts:
            self._counts[key] = dict.fromkeys(("received", *_OUTCOMES, "repeats"), 0)
        return self._counts[key]
