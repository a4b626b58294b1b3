"""Runs the detector on a file of readings, day by day as they would have come. Pure but for reading the file named.

Causal: a day's hours are looked at with what was known the midnight before, and what is found at an hour rests on
readings up to its end. The times of the files are local and without a zone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from ingest.alert_file import EvaluatedAlert
from ingest.reading_files import check_span, check_width, number, rows_of
from metering.consumption import HOUR_S, Q4_PER_Q3_MILLI, Bools, Ints, Limits, Readings, ordered
from metering.errors import RequestError
from metering.leak_settings import LeakSettings

from .detector import look
from .events import Event, Kind, Phase
from .grid import counted, flow_grid
from .habits import DAY_H, HOUSEHOLD_Q3_L_H, Floats, is_weekend, unknown_meters

KINDS = {Kind.LEAK: "LEAK", Kind.BURST: "BURST", Kind.REVERSE: "REVERSE", Kind.STUCK: "STUCK", Kind.UNDER: "UNDER"}
NO_REPORT = "NOREPORT"
EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - times of the files have no zone
REGISTER_MAX_ML, RESOLUTION_ML = 10**14, 1_000
"""Files of readings do not say the meters' sizes: DN15 with Q3 = 2.5 m³/h, as meters are registered when nothing else
is said, for all that `sizes` does not name."""
BATCH_METERS = 20_000
COLUMNS = ("meter_id", "ts", "index_l")
SIZE_COLUMNS = ("meter_id", "q3_m3_h")
MAX_Q3_L_H = 10_000_000
NO_SIZES: Mapping[str, int] = MappingProxyType({})


class MeterReadings(NamedTuple):
    """Of all meters, sorted by meter and time. Times in seconds of local time since 1970."""

    names: list[str]
    meter: Ints
    """Position in `names`."""
    ts_s: Ints
    index_ml: Ints


def read_readings(path: Path) -> MeterReadings:
    """The file's readings. Raises RequestError that names the line which cannot be read."""
    positions: dict[str, int] = {}
    meter, ts, index = [], [], []

    def take(row: list[str]) -> None:
        name, at, value = row
        index.append(round(number(value) * 1_000))
        ts.append(_local_s(at))
        meter.append(positions.setdefault(name, len(positions)))

    _each_row(path, COLUMNS, take)
    check_span(path, min(ts, default=0), max(ts, default=0))
    found = ordered(np.array(ts, np.int64), np.array(index, np.int64), np.array(meter, np.int64))
    return MeterReadings(list(positions), found.meter, found.ts_s, found.index_ml)


def read_sizes(path: Path) -> dict[str, int]:
    """Q3 in L/h by meter. Raises RequestError that names the line which cannot be read."""
    found: dict[str, int] = {}

    def take(row: list[str]) -> None:
        name, q3 = row
        found[name] = round(number(q3) * 1_000)
        if not 0 < found[name] <= MAX_Q3_L_H:
            raise ValueError(f"Q3 must be above 0 and at most {MAX_Q3_L_H // 1_000} m³/h")

    _each_row(path, SIZE_COLUMNS, take)
    return found


def _each_row(path: Path, columns: tuple[str, ...], take: Callable[[list[str]], None]) -> None:
    """Hands over the rows of a CSV file below its first line; a ValueError of `take` becomes a RequestError that names
    the line."""
    rows = rows_of(path)
    if tuple(next(rows, ())) != columns:
        raise RequestError(f"{path}: the first line must be {','.join(columns)}")
    for line, row in enumerate(rows, 2):
        try:
            check_width(row, columns)
            take(row)
        except (ValueError, OverflowError) as error:
            raise RequestError(f"{path}, line {line}: {error}") from error


def _local_s(text: str) -> int:
    """Raises ValueError."""
    at = np.datetime64(text, "s")
    if np.isnat(at):
        raise ValueError(f"{text!r} is no time")
    return int(at.astype(np.int64))


def evaluated(
    readings: MeterReadings, settings: LeakSettings, q3_l_h: Mapping[str, int] = NO_SIZES
) -> Iterator[EvaluatedAlert]:
    """What the detector would have raised, in no order. Memory: one batch of meters at a time."""
    if not len(readings.ts_s):
        return
    last_s = int(readings.ts_s.max())
    for low in range(0, len(readings.names), BATCH_METERS):
        high = min(low + BATCH_METERS, len(readings.names))
        first, last = np.searchsorted(readings.meter, [low, high])
        part = MeterReadings(readings.names[low:high], readings.meter[first:last] - low,
                             readings.ts_s[first:last], readings.index_ml[first:last])  # fmt: skip
        yield from _faults(part, settings, np.array([q3_l_h.get(name, HOUSEHOLD_Q3_L_H) for name in part.names]))
        yield from _silences(part, last_s, settings)


def _faults(part: MeterReadings, settings: LeakSettings, q3_l_h: Ints) -> Iterator[EvaluatedAlert]:
    day_s = DAY_H * HOUR_S
    first_day = int(part.ts_s.min()) // day_s
    days = int(part.ts_s.max()) // day_s - first_day + 1
    q4 = q3_l_h * Q4_PER_Q3_MILLI
    limits = Limits(q4, np.full(len(q4), REGISTER_MAX_ML, np.int64), np.full(len(q4), RESOLUTION_ML, np.int64))
    readings = Readings(part.meter, part.ts_s, part.index_ml)
    flow = flow_grid(*counted(readings, limits), q4, first_day * day_s, days * DAY_H)
    states = unknown_meters(len(part.names), first_day, q3_l_h)
    for day in range(days):
        outcome = look(states, flow[:, day * DAY_H : (day + 1) * DAY_H], is_weekend(first_day + day), settings)
        states = outcome.states
        for event in outcome.events:
            if event.phase is not Phase.CLEARED:
                yield _alert(event, part, flow, first_day)


def _alert(event: Event, part: MeterReadings, flow: Floats, first_day: int) -> EvaluatedAlert:
    known: Bools = ~np.isnan(flow[event.meter])
    at = event.at_h - first_day * DAY_H
    last_known = int(np.flatnonzero(known[: at + 1])[-1]) if known[: at + 1].any() else at
    reading_s = _last_reading(part, event.meter, (first_day * DAY_H + last_known + 1) * HOUR_S)
    return EvaluatedAlert(
        part.names[event.meter],
        KINDS[event.kind],
        _instant(reading_s),
        event.rate_l_h,
        _instant(event.began_h * HOUR_S),
    )


def _last_reading(part: MeterReadings, meter: int, before_s: int) -> int:
    low, high = np.searchsorted(part.meter, [meter, meter + 1])
    at = max(int(np.searchsorted(part.ts_s[low:high], before_s)) - 1, 0)
    return int(part.ts_s[low + at])


def _silences(part: MeterReadings, last_s: int, settings: LeakSettings) -> Iterator[EvaluatedAlert]:
    """Each pause longer than allowed, at the time at which it had lasted that long."""
    limit_s = settings.silent_after_h * HOUR_S
    next_s = np.append(part.ts_s[1:], last_s)
    next_s[np.append(part.meter[1:] != part.meter[:-1], True)] = last_s
    for at in np.flatnonzero(next_s - part.ts_s > limit_s).tolist():
        since_s = int(part.ts_s[at])
        name = part.names[int(part.meter[at])]
        yield EvaluatedAlert(name, NO_REPORT, _instant(since_s + limit_s), None, _instant(since_s))


def _instant(local_s: int) -> datetime:
    return EPOCH + timedelta(seconds=local_s)
