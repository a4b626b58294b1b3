"""Lines of CSV from arrays: bytes in a matrix, a line a row, without a Python object for each. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from simulators.local_time import UTC_OFFSET_S, local_text
from simulators.water.calendar import Ints

Bytes = NDArray[np.uint8]
ZERO, MINUS = ord("0"), ord("-")


class Cells(NamedTuple):
    """A column: the characters of each row and which of them stand."""

    characters: Bytes
    stand: NDArray[np.bool_]

    def of(self, rows: NDArray[np.bool_] | Ints) -> Cells:
        return Cells(self.characters[rows], self.stand[rows])


def same(text: str, rows: int) -> Cells:
    characters = np.broadcast_to(np.frombuffer(text.encode(), np.uint8), (rows, len(text.encode())))
    return Cells(characters, np.ones(characters.shape, np.bool_))


def texts(values: Sequence[str]) -> Cells:
    """ASCII, of one length."""
    characters = np.frombuffer("".join(values).encode(), np.uint8).reshape(len(values), -1)
    return Cells(characters, np.ones(characters.shape, np.bool_))


def integers(values: Ints) -> Cells:
    digits = len(str(int(np.abs(values).max(initial=0))))
    powers = 10 ** np.arange(digits - 1, -1, -1)
    size = np.abs(values)[:, None]
    sign = np.full((len(values), 1), MINUS)
    characters = np.concatenate([sign, size // powers % 10 + ZERO], axis=1).astype(np.uint8)
    stand = np.concatenate([values[:, None] < 0, (size >= powers) | (powers == 1)], axis=1)
    return Cells(characters, stand)


def instants(ts_s: Ints) -> Cells:
    """China's local time, `2026-01-31 23:00:00`."""
    local = np.datetime_as_string((ts_s + UTC_OFFSET_S).astype("datetime64[s]"))
    characters = np.frombuffer(local.astype("S19").tobytes(), np.uint8).reshape(-1, 19).copy()
    characters[:, 10] = ord(" ")
    return Cells(characters, np.ones(characters.shape, np.bool_))


def lines(*columns: Cells) -> bytes:
    """Rows of these cells with commas between and a line's end after."""
    rows = len(columns[0].characters)
    comma, end = same(",", rows), same("\n", rows)
    parts = [*[part for column in columns for part in (column, comma)][:-1], end]
    characters = np.concatenate([part.characters for part in parts], axis=1)
    standing: Bytes = characters[np.concatenate([part.stand for part in parts], axis=1)]
    return standing.tobytes()


def hour_lines(meters: Cells, ts_s: int, index_l: Ints) -> bytes:
    """`meter_id,ts,index_l` of readings of one instant."""
    return lines(meters, same(local_text(ts_s), len(index_l)), integers(index_l))
