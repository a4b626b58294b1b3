"""Readings that a decoder gathers one by one, and reports made of several parts."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from metering.errors import DecodeError
from metering.model import AHEAD_S, EARLIEST_S, DecodedReport, DeviceState, ReadingKind

from .contract import MAX_INDEX_ML, MAX_READINGS

DAY_S: Final = 86_400
EMPTY: Final = DecodedReport(DeviceState(), [], [], ReadingKind.EVENT)


def checked(pairs: Sequence[tuple[int, int]], received_at_s: int) -> tuple[list[int], list[int], ReadingKind]:
    """Times, indices and kind of readings (Unix seconds, millilitres); the order is kept.

    Raises DecodeError: [too_many_readings], [time_range] before 2010 or more than a day ahead, [index_range].
    """
    if len(pairs) > MAX_READINGS:
        raise DecodeError("too_many_readings", f"more than {MAX_READINGS} readings in one report")
    times, indices = [ts for ts, _ in pairs], [index for _, index in pairs]
    if pairs and not (min(times) >= EARLIEST_S and max(times) <= received_at_s + AHEAD_S):
        raise DecodeError("time_range", "a reading is before 2010 or more than a day after it was received")
    if pairs and not (min(indices) >= 0 and max(indices) <= MAX_INDEX_ML):
        raise DecodeError("index_range", "an index is negative or beyond any register")
    return times, indices, kind_of(times)


def checked_index(index_ml: int | None) -> int | None:
    """An index without a time. Raises DecodeError [index_range]."""
    if index_ml is not None and not 0 <= index_ml <= MAX_INDEX_ML:
        raise DecodeError("index_range", "an index is negative or beyond any register")
    return index_ml


def kind_of(times: Sequence[int]) -> ReadingKind:
    """One reading is an event; several are hourly, or freezes when all lie a day or more apart."""
    if len(times) < 2:
        return ReadingKind.EVENT
    ordered = sorted(times)
    closest = min(after - before for before, after in itertools.pairwise(ordered))
    return ReadingKind.FREEZE if closest >= DAY_S else ReadingKind.HOURLY


def backwards(end_s: int, index_ml: int, interval_s: int, flows_ml: Sequence[int]) -> list[tuple[int, int]]:
    """Readings at the beginning of the first interval and the end of each, from the index at the end of the last."""
    pairs = [(end_s, index_ml)]
    for flow in reversed(flows_ml):
        pairs.append((pairs[-1][0] - interval_s, pairs[-1][1] - flow))
    return pairs[::-1]


def merged(parts: Iterable[DecodedReport], state: DeviceState, extra: Mapping[str, Any]) -> DecodedReport:
    """One report of several; what a part says goes before `state` and `extra`, the later part before the earlier.

    A single part with readings keeps its counter, so that the same report by another door is known for what it is.
    Raises DecodeError [too_many_readings].
    """
    parts = list(parts)
    with_readings = [part for part in parts if part.ts_s or part.untimed_index_ml is not None]
    main = with_readings[0] if with_readings else next(iter(parts), EMPTY)
    ts_s, index_ml = main.ts_s, main.index_ml
    if len(with_readings) > 1:
        ts_s = [ts for part in with_readings for ts in part.ts_s]
        index_ml = [index for part in with_readings for index in part.index_ml]
    if len(ts_s) > MAX_READINGS:
        raise DecodeError("too_many_readings", f"more than {MAX_READINGS} readings in one report")
    for part in parts:
        state = overlaid(state, part.state)
        extra = joined(extra, part.extra)
    untimed = [part.untimed_index_ml for part in with_readings if part.untimed_index_ml is not None]
    return DecodedReport(
        state, ts_s, index_ml, main.kind if len(with_readings) < 2 else kind_of(ts_s),
        main.seq if len(parts) == 1 else None, untimed[-1] if untimed else None,
        next((part.meter_address for part in parts if part.meter_address is not None), None), extra,
    )  # fmt: skip


def overlaid(below: DeviceState, above: DeviceState) -> DeviceState:
    """What `above` says, else what `below` does; the alarms of both."""
    chosen = [low if high is None else high for low, high in zip(below, above, strict=True)]
    both = DeviceState(*chosen)  # type: ignore[arg-type] # zip loses which field is which
    return both._replace(alarms=below.alarms | above.alarms)


def joined(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Both; of a name in both, lists are put together, the names of maps too, and else `above` goes first."""
    both = {**below, **above}
    for name in below.keys() & above.keys():
        low, high = below[name], above[name]
        if isinstance(low, list) and isinstance(high, list):
            both[name] = low + high
        elif isinstance(low, dict) and isinstance(high, dict):
            both[name] = {**low, **high}
    return both
