"""Readings of a series in a mapping file."""

from __future__ import annotations

from itertools import accumulate
from typing import Any

from metering.errors import DecodeError

from ..contract import MAX_READINGS
from .fields import Source, at_path, instant, millilitres, read
from .spec import Series

Pair = tuple[int, int]


def readings(series: Series, source: Source, time_s: int | None, index_ml: int | None) -> list[Pair]:
    """Times (Unix seconds) and indices (millilitres). `time_s` and `index_ml` are the report's own.

    Values that are absent make no reading. Raises DecodeError [length], [bcd], [unit], [too_many_readings]; [series]
    for deltas that do not connect, [time_range] where values have no time.
    """
    counts = _elements(series, source) if series.path is not None else _octets(series, source)
    if len(counts) > MAX_READINGS:
        raise DecodeError("too_many_readings", f"more than {MAX_READINGS} readings in one report")
    if series.value_time is not None:
        return _with_times(series, source)
    if time_s is None:
        raise DecodeError("time_range", "the series has no time: the report's own cannot be right")
    interval_s = series.interval_s or 0
    anchor_s = (time_s + series.offset_s) // series.floor_s * series.floor_s
    volumes = [millilitres(series, source, count) for count in counts]
    if series.meaning == "delta":
        return _deltas(series, volumes, anchor_s, index_ml)
    first_s = anchor_s if series.anchor == "first" else anchor_s - interval_s * (len(volumes) - 1)
    timed = ((first_s + interval_s * position, volume) for position, volume in enumerate(volumes))
    return [(ts_s, volume) for ts_s, volume in timed if volume is not None]


def _deltas(series: Series, volumes: list[int | None], anchor_s: int, index_ml: int | None) -> list[Pair]:
    known = [volume for volume in volumes if volume is not None]
    if index_ml is None or len(known) != len(volumes):
        raise DecodeError("series", "deltas need the report's index, and one for each interval")
    interval_s = series.interval_s or 0
    first_ml = index_ml if series.anchor == "first" else index_ml - sum(known)
    first_s = anchor_s if series.anchor == "first" else anchor_s - interval_s * len(known)
    indices = accumulate(known, initial=first_ml)
    return [(first_s + interval_s * position, volume) for position, volume in enumerate(indices)]


def _octets(series: Series, source: Source) -> list[Any]:
    count = series.count if series.count is not None else 0
    if series.count_at is not None:
        found = read(series.count_at, source)
        if not isinstance(found, int) or not 0 <= found <= MAX_READINGS:
            raise DecodeError("too_many_readings", f"{str(found)[:40]} values in one report")
        count = found
    step = series.step or series.bytes
    return [read(series, source, step * position) for position in range(count)]


def _elements(series: Series, source: Source) -> list[Any]:
    array = at_path(source, series.path or "")
    if not isinstance(array, list):
        return []
    return [at_path(element, series.value) if series.value else element for element in array[: MAX_READINGS + 1]]


def _with_times(series: Series, source: Source) -> list[Pair]:
    array = at_path(source, series.path or "")
    pairs = []
    for element in array if isinstance(array, list) and series.value_time is not None else ():
        ts_s = instant(series.value_time, element) if series.value_time and isinstance(element, dict) else None
        volume = millilitres(series, source, at_path(element, series.value) if series.value else element)
        if ts_s is not None and volume is not None:
            pairs.append((ts_s, volume))
    return pairs
