"""Offsets that flatten the hours in which meters report all at once. Pure.

Minutes are those of the UTC day, for a meter counts its period from 1970-01-01 UTC (PROTOCOLS G, kind 3).
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

DAY_MINUTES = 1440
MINUTE_S = 60
MAX_RETRANSMIT = 4
"""RFC 7252 section 4.8: then a sender gives up."""


class Habit(NamedTuple):
    """A meter that reports once a day, and the second of the UTC day at which it does."""

    serial: str
    second: int


@dataclass(frozen=True, slots=True)
class Spread:
    """`moves`: serial and new second of the day. The peaks are reports in the fullest minute."""

    moves: list[tuple[str, int]]
    before: list[int]
    after: list[int]

    @property
    def peak_before(self) -> int:
        return max(self.before)

    @property
    def peak_after(self) -> int:
        return max(self.after)


def spread(habits: Sequence[Habit]) -> Spread:
    """As few moves as possible such that no minute has more than its share. Who stays and who goes is decided by the
    serial, so that the same habits always give the same plan."""
    by_minute: list[list[Habit]] = [[] for _ in range(DAY_MINUTES)]
    for habit in habits:
        by_minute[habit.second // MINUTE_S % DAY_MINUTES].append(habit)
    before = [len(minute) for minute in by_minute]
    share = -(-len(habits) // DAY_MINUTES)
    leaving = [habit for minute in by_minute for habit in sorted(minute, key=_order)[share:]]
    rooms = [minute for minute in range(DAY_MINUTES) for _ in range(share - before[minute])]
    moves = []
    after = [min(count, share) for count in before]
    for position, habit in enumerate(sorted(leaving, key=_order)):
        minute = rooms[position * len(rooms) // len(leaving)]  # over the whole day, not its first free hours
        moves.append((habit.serial, minute * MINUTE_S + _order(habit)[0] % MINUTE_S))
        after[minute] += 1
    return Spread(moves, before, after)


def _order(habit: Habit) -> tuple[int, str]:
    return zlib.crc32(habit.serial.encode()), habit.serial


def retransmissions(minutes: Sequence[int], capacity: int) -> int:
    """How often reports would be sent again in a day of which no minute takes more than `capacity`.

    What finds no room comes again in the next minute, at most MAX_RETRANSMIT times, before those that come then. A
    rough measure to compare two plans by: real senders back off by seconds and lose patience at random.
    """
    again = [0] * MAX_RETRANSMIT
    sent_again = 0
    for fresh in [*minutes, *minutes]:  # the second day sees what the first one's end left over
        waiting, room = [*again, fresh], capacity
        left = []
        for count in waiting:
            taken = min(room, count)
            room -= taken
            left.append(count - taken)
        again = left[1:]  # the oldest have given up
        sent_again += sum(again)
    return sent_again // 2
