"""Files of districts: the index of an inlet meter, and net inflows of several. Pure but for reading the file named.

Times are local and without a zone; they are counted as if they were UTC.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import numpy as np

from ingest.reading_files import check_span, number, rows_of
from metering.consumption import HOUR_S, Limits
from metering.errors import RequestError

from .evaluation import Indices, Inflows

INLET_COLUMNS = ["ts", "inlet_index_m3"]
ML_PER_M3 = 1_000_000
INLET_LIMITS = Limits(*(np.array([value], np.int64) for value in (10**12, 10**16, 10_000)))
"""A bulk meter: 1,000 m3/h at most, a count of ten litres."""

Cell = TypeVar("Cell")


def read_inlet(path: Path) -> Indices:
    """Columns `ts,inlet_index_m3`. Raises RequestError that names the line which cannot be read."""
    header, rows = _rows(path)
    if header != INLET_COLUMNS:
        raise RequestError(f"{path}: the first line must be {','.join(INLET_COLUMNS)}")
    times = [_read(path, line, _seconds, row[0]) for line, row in rows]
    check_span(path, min(times), max(times))
    index = [round(_read(path, line, number, row[1]) * ML_PER_M3) for line, row in rows]
    return Indices(np.zeros(len(times), np.int64), np.array(times, np.int64), np.array(index, np.int64), INLET_LIMITS)


def read_inflows(path: Path) -> Inflows:
    """Columns `ts` and one for each district, litres per second in the hour that begins then. An empty field is not
    known, nor is an hour without a line; of several lines of an hour (a clock put back) the last counts. Raises
    RequestError that names the line which cannot be read, or is no whole hour after the first."""
    header, rows = _rows(path)
    if len(header) < 2 or header[0] != "ts":
        raise RequestError(f"{path}: the first line must be ts and the names of districts")
    flows = [[_read(path, line, float, value or "nan") for value in row[1:]] for line, row in rows]
    times = [_read(path, line, _seconds, row[0]) for line, row in rows]
    for (line, _), at in zip(rows, times, strict=True):
        if at < times[0] or (at - times[0]) % HOUR_S:
            raise RequestError(f"{path}, line {line}: no whole hour after the first line")
    check_span(path, times[0], max(times))
    columns = (np.array(times) - times[0]) // HOUR_S
    flow_l_s = np.full((len(header) - 1, int(columns.max()) + 1), np.nan)
    flow_l_s[:, columns] = np.array(flows).T
    return Inflows(header[1:], times[0], flow_l_s)


def _rows(path: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """The header, and each line with its number."""
    reader = rows_of(path)
    header = next(reader, [])
    rows = list(enumerate(reader, 2))
    for line, row in rows:
        if len(row) != len(header):
            raise RequestError(f"{path}, line {line}: {len(row)} fields, not {len(header)}")
    if not rows:
        raise RequestError(f"{path}: no lines but the first")
    return header, rows


def _read(path: Path, line: int, how: Callable[[str], Cell], text: str) -> Cell:
    try:
        return how(text)
    except ValueError as error:
        raise RequestError(f"{path}, line {line}: {error}") from error


def _seconds(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())
