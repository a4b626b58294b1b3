"""When a cell of the radio network is down, and what then becomes of reports. Pure, seeded."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from simulators.water.calendar import EPOCH_S, WEEK_S

WEEKLY_CHANCE = 0.12
"""That an outage of a cell begins in a week."""
MEDIAN_S, SPREAD, LONGEST_S = 3 * 3_600, 1.1, 3 * 86_400
"""Most are a matter of hours: a power cut, a software update; some wait for a crew."""
FLUSH_S = 900
"""Within this time after a cell is back the meters with a backlog get through."""


@lru_cache(maxsize=65_536)
def _of_week(seed: int, cell_id: int, week: int) -> tuple[int, int] | None:
    draw = np.random.default_rng((seed, cell_id, week, 1_000_099))
    if draw.random() >= WEEKLY_CHANCE:
        return None
    begin_s = EPOCH_S + week * WEEK_S + int(draw.integers(WEEK_S))
    return begin_s, begin_s + int(min(LONGEST_S, MEDIAN_S * draw.lognormal(0, SPREAD)))


def outages(seed: int, cell_id: int, from_s: int, until_s: int) -> list[tuple[int, int]]:
    """Those of a cell that touch the span: begin and end, in order; an instant not before EPOCH_S."""
    weeks = range(max(0, (from_s - EPOCH_S) // WEEK_S - 1), (until_s - EPOCH_S) // WEEK_S + 1)
    found = (_of_week(seed, cell_id, week) for week in weeks)
    return [outage for outage in found if outage and outage[1] > from_s and outage[0] < until_s]


def back_at(seed: int, cell_id: int, ts_s: int) -> int | None:
    """When the cell works again that is down at this instant; None: it works."""
    return max((end_s for _, end_s in outages(seed, cell_id, ts_s, ts_s + 1)), default=None)


def flush_s(number: int) -> int:
    """How long after its cell is back meter `number` gets through: not all at once."""
    return number * 7_919 % FLUSH_S
