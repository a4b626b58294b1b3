"""CSV files that people hand to evaluations: as spreadsheets save them, and refused in words where they cannot be read.
Pure but for reading the file named.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

from metering.errors import RequestError

DAY_S = 86_400
MAX_DAYS = 3_660
"""Of one file. Memory holds each hour of it for each meter, so that one time of a clock that was wrong costs as much as
the years between."""


def rows_of(path: Path) -> Iterator[list[str]]:
    """The rows of a CSV file in UTF-8, with or without a byte-order mark. Raises RequestError where it is none."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            yield from csv.reader(file)
    except UnicodeDecodeError as error:
        raise RequestError(f"{path}: this is no text in UTF-8; save it as CSV UTF-8") from error
    except csv.Error as error:
        raise RequestError(f"{path}: this is no CSV: {error}") from error


def number(text: str) -> float:
    """A finite number. Raises ValueError."""
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text!r} is no number")
    return value


def check_width(row: Sequence[str], columns: Sequence[str]) -> None:
    """Raises ValueError where a row has another number of fields than the first line."""
    if len(row) != len(columns):
        raise ValueError(f"{len(row)} fields, not {len(columns)}")


def check_span(path: Path, first_s: int, last_s: int) -> None:
    """Raises RequestError for a file whose times lie further apart than `MAX_DAYS`."""
    days = (last_s - first_s) // DAY_S
    if days > MAX_DAYS:
        raise RequestError(
            f"{path}: {days:,} days from the first time to the last, at most {MAX_DAYS:,} are read: was a clock wrong?"
        )
