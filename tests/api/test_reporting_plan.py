"""Offsets that flatten a peak: nobody is lost, few are moved, and the same habits give the same plan."""

from __future__ import annotations

import random

import pytest

from api.reporting_plan import DAY_MINUTES, Habit, retransmissions, spread

MIDNIGHT = [Habit(f"{n:012d}", n % 600) for n in range(20_000)]
"""All within ten minutes."""


def test_a_midnight_peak_is_flattened() -> None:
    found = spread(MIDNIGHT)
    assert (found.peak_before, found.peak_after) == (2040, 14)
    assert sum(found.after) == len(MIDNIGHT)
    assert len({serial for serial, _ in found.moves}) == len(found.moves) == len(MIDNIGHT) - 10 * 14
    assert all(0 <= second < 86_400 for _, second in found.moves)
    assert max(found.after[600:]) >= 13  # over the whole day


def test_the_moves_give_what_is_promised() -> None:
    draw = random.Random(7)
    habits = [Habit(str(n), min(86_399, int(abs(draw.gauss(0, 5_000))))) for n in range(5_000)]
    found = spread(habits)
    moved = dict(found.moves)
    counts = [0] * DAY_MINUTES
    for habit in habits:
        counts[moved.get(habit.serial, habit.second) // 60] += 1
    assert counts == found.after
    assert spread(list(reversed(habits))) == found


def test_who_is_spread_already_stays() -> None:
    assert spread([Habit(str(n), n * 60 % 86_400) for n in range(2 * DAY_MINUTES)]).moves == []
    assert spread([]).moves == []


@pytest.mark.parametrize(("capacity", "expected"), [(2_040, 0), (14, 36_720)])
def test_retransmissions_come_of_peaks(capacity: int, expected: int) -> None:
    before = retransmissions(spread(MIDNIGHT).before, capacity)
    assert before == 0 if not expected else before > expected
    assert retransmissions(spread(MIDNIGHT).after, capacity) == 0
