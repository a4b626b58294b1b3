"""The readings of a batch as columns, and which of them are new, repeated or in conflict. Pure, numpy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from operator import itemgetter

import numpy as np
import numpy.typing as npt

from .classify import joined_int64s
from .placing import Placed

Int64s = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

MAX_MARKED_METERS = 1 << 24
UNKNOWN_TS = np.iinfo(np.int64).max


@dataclass(frozen=True, slots=True)
class ReadingTable:
    """Readings sorted by meter, time and kind; of one key the first that arrived comes first.

    `report` is the position of the reading's report in the batch; `leader` marks the first row of each key, `group`
    numbers the keys. `ts_s` are Unix seconds.
    """

    report: Int64s
    meter_id: Int64s
    ts_s: Int64s
    kind: npt.NDArray[np.int16]
    index_ml: Int64s
    leader: Bools
    group: Int64s

    def __len__(self) -> int:
        return len(self.meter_id)


def tabulate(placed: Sequence[Placed]) -> ReadingTable:
    """The readings of these reports."""
    segments = [(s.meter_id, s.first_s, p.kind, position, s) for position, p in enumerate(placed) for s in p.segments]
    segments.sort(key=itemgetter(0, 1))
    lengths = np.fromiter((len(s.ts_s) for *_, s in segments), np.int64, len(segments))
    meter_id = np.repeat(np.fromiter((meter for meter, *_ in segments), np.int64, len(segments)), lengths)
    kind = np.repeat(np.fromiter((kind for _, _, kind, *_ in segments), np.int16, len(segments)), lengths)
    report = np.repeat(np.fromiter((position for *_, position, _ in segments), np.int64, len(segments)), lengths)
    ts_s = joined_int64s(s.ts_s for *_, s in segments)
    index_ml = joined_int64s(s.index_ml for *_, s in segments)
    same_meter = meter_id[1:] == meter_id[:-1]
    leader = np.ones(len(meter_id), np.bool_)
    if np.any(same_meter & (ts_s[1:] <= ts_s[:-1])):  # not what a meter's own order gives
        order = np.lexsort((report, kind, ts_s, meter_id))
        report, meter_id, ts_s = report[order], meter_id[order], ts_s[order]
        kind, index_ml = kind[order], index_ml[order]
        leader[1:] = (meter_id[1:] != meter_id[:-1]) | (ts_s[1:] != ts_s[:-1]) | (kind[1:] != kind[:-1])
    return ReadingTable(report, meter_id, ts_s, kind, index_ml, leader, np.cumsum(leader) - 1)


def newest_readings(table: ReadingTable, meters: Sequence[int]) -> tuple[list[int | None], list[int]]:
    """The time of the newest reading that each report has of the meter given for it, None without one, and the index
    at that time, the highest where there are several."""
    meter_id = np.array(meters, np.int64)
    own = np.flatnonzero(table.meter_id == meter_id[table.report])
    report, ts_s = table.report[own], table.ts_s[own]
    last_row = np.full(len(meter_id), -1, np.int64)
    last_row[report] = own  # of several rows of one report the last stays, which is the newest
    at_last = ts_s == table.ts_s[last_row[report]]
    index_ml = np.full(len(meter_id), np.iinfo(np.int64).min)
    np.maximum.at(index_ml, report[at_last], table.index_ml[own[at_last]])
    last_s: list[int | None] = [None] * len(meter_id)
    timed = np.flatnonzero(last_row >= 0)
    for position, ts in zip(timed.tolist(), table.ts_s[last_row[timed]].tolist(), strict=True):
        last_s[position] = ts
    return last_s, index_ml.tolist()


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of each reading, row by row of a `ReadingTable`."""

    stored: Bools
    conflicting: Bools
    reference_ml: Int64s
    """The index that the key has in the database now."""


def judge(table: ReadingTable, leaders: Int64s, existing: Bools, existing_ml: Int64s) -> Verdict:
    """`leaders` are the rows of `table.leader`; `existing` says which of their keys the database had, with what index.

    The value that was there first stays: the database's, else the first that arrived.
    """
    reference = np.where(existing, existing_ml, table.index_ml[leaders])[table.group]
    stored = table.leader & ~existing[table.group]
    return Verdict(stored, table.index_ml != reference, reference)


class HighWaterMarks:
    """The newest stored time of each meter, so that later readings are known to be new without asking.

    True only while nobody else writes: to be forgotten when the lease is lost and when the database contradicts.
    """

    def __init__(self, limit: int = MAX_MARKED_METERS) -> None:
        self._limit = limit
        self._newest_s = np.full(1024, UNKNOWN_TS, np.int64)

    def clear(self) -> None:
        self._newest_s.fill(UNKNOWN_TS)

    def unknown(self, meter_id: Int64s) -> Int64s:
        """The distinct meters among these without a mark; those beyond the limit never get one."""
        if not len(meter_id):
            return meter_id
        self._reach(int(meter_id.max()))
        markable = meter_id[(meter_id >= 0) & (meter_id < len(self._newest_s))]
        unmarked: Int64s = np.unique(markable[self._newest_s[markable] == UNKNOWN_TS])
        return unmarked

    def certainly_new(self, meter_id: Int64s, ts_s: Int64s) -> Bools:
        """Which readings come after everything stored of their meter."""
        marked = (meter_id >= 0) & (meter_id < len(self._newest_s))
        newest_s = self._newest_s[np.where(marked, meter_id, 0)]
        return marked & (ts_s > newest_s)

    def raise_to(self, meter_id: Int64s, ts_s: Int64s) -> None:
        """These readings are stored; meters without a mark stay without."""
        marked = (meter_id >= 0) & (meter_id < len(self._newest_s))
        meters, times = meter_id[marked], ts_s[marked]
        known = self._newest_s[meters] != UNKNOWN_TS
        np.maximum.at(self._newest_s, meters[known], times[known])

    def set(self, meter_id: Int64s, ts_s: Int64s) -> None:
        """What the database says of meters that `unknown` named."""
        self._newest_s[meter_id] = ts_s

    def _reach(self, meter_id: int) -> None:
        if meter_id >= len(self._newest_s):
            size = min(self._limit, max(meter_id + 1, 2 * len(self._newest_s)))
            grown = np.full(size, UNKNOWN_TS, np.int64)
            grown[: len(self._newest_s)] = self._newest_s
            self._newest_s = grown
