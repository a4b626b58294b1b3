"""PostgreSQL's binary COPY format, encoded by numpy a column at a time.

Source: PostgreSQL documentation, COPY, "Binary Format": signature, flags, extension length; per row the number of
fields, then each field as int32 length and big-endian bytes; trailer -1. Timestamps count microseconds from 2000-01-01.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt

Int64s = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]

READING_COLUMNS = ("meter_id", "ts", "kind", "index_ml")
POSTGRES_EPOCH_S = 946_684_800

_HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_TRAILER = b"\xff\xff"
_NULL = b"\xff\xff\xff\xff"
_ROW = np.dtype(
    [
        ("fields", ">i2"),
        ("meter_id_length", ">i4"),
        ("meter_id", ">i8"),
        ("ts_length", ">i4"),
        ("ts", ">i8"),
        ("kind_length", ">i4"),
        ("kind", ">i2"),
        ("index_ml_length", ">i4"),
        ("index_ml", ">i8"),
    ]
)
_EMPTY_ROW = np.array((4, 8, 0, 8, 0, 2, 0, 8, 0), _ROW)


def encode_readings(meter_id: Int64s, ts_s: Int64s, kind: npt.NDArray[np.int16], index_ml: Int64s) -> bytearray:
    """The whole COPY stream of these rows; columns as READING_COLUMNS. `ts_s` are Unix seconds.

    A bytearray because asyncpg takes bytes for the name of a file.
    """
    data = bytearray(len(_HEADER) + len(meter_id) * _ROW.itemsize + len(_TRAILER))
    data[: len(_HEADER)] = _HEADER
    data[-len(_TRAILER) :] = _TRAILER
    rows = np.frombuffer(data, _ROW, len(meter_id), len(_HEADER))
    rows[:] = _EMPTY_ROW
    rows["meter_id"] = meter_id
    rows["ts"] = (ts_s - POSTGRES_EPOCH_S) * 1_000_000
    rows["kind"] = kind
    rows["index_ml"] = index_ml
    return data


_Column = Bytes | list[bytes]
"""The cells of a column, each its length and its value as they go on the wire: a matrix of a row each where all are
equally long, else one bytes for each row."""


def encode_rows(kinds: Sequence[str], columns: Sequence[Sequence[Any] | Int64s]) -> bytearray:
    """The whole COPY stream of rows given as columns, at least one, all equally long.

    Values by kind: integers; timestamptz as microseconds since 1970; uuid as 16 bytes; text and jsonb as str; bytea as
    bytes; None is NULL. Raises ValueError for an integer that its column cannot hold.
    """
    encoded = [_ENCODERS[kind](column) for kind, column in zip(kinds, columns, strict=True)]
    spans: list[list[bytes]] = []
    even = [_repeated(len(kinds).to_bytes(2, "big"), len(columns[0]))]
    for column in encoded:
        if isinstance(column, list):
            spans += [_joined(even), column] if even else [column]
            even = []
        else:
            even.append(column)
    if even:
        spans.append(_joined(even))
    return bytearray().join([_HEADER, *chain.from_iterable(zip(*spans, strict=True)), _TRAILER])


def _joined(columns: Sequence[Bytes]) -> list[bytes]:
    return _rows_of(np.ascontiguousarray(np.concatenate(columns, axis=1)))


def _rows_of(cells: Bytes) -> list[bytes]:
    rows: list[bytes] = cells.view(f"V{cells.shape[1]}")[:, 0].tolist()
    return rows


def _repeated(cell: bytes, rows: int) -> Bytes:
    return np.broadcast_to(np.frombuffer(cell, np.uint8), (rows, len(cell)))


def _with_length(values: Bytes) -> Bytes:
    """Cells of a matrix of values."""
    rows, width = values.shape
    cells = np.empty((rows, 4 + width), np.uint8)
    cells[:, :4] = np.frombuffer(width.to_bytes(4, "big"), np.uint8)
    cells[:, 4:] = values
    return cells


def _cell(value: bytes | None) -> bytes:
    return _NULL if value is None else len(value).to_bytes(4, "big") + value


def _fixed(values: Sequence[Any] | Int64s, width: int, least: int, greatest: int, shift: int = 0) -> _Column:
    try:
        numbers = np.asarray(values, np.int64)
    except TypeError:  # there are NULLs
        numbers = np.array([value for value in values if value is not None], np.int64)
    if not len(numbers):
        return _repeated(_NULL, len(values))
    if not (least <= numbers.min() and numbers.max() <= greatest):
        raise ValueError(f"an integer does not fit into {width} bytes")
    cells = _with_length((numbers + shift).astype(f">i{width}").view(np.uint8).reshape(-1, width))
    if len(numbers) == len(values):
        return cells
    present = iter(_rows_of(cells))
    return [_NULL if value is None else next(present) for value in values]


def _integers(width: int) -> Callable[[Sequence[Any] | Int64s], _Column]:
    limit = 1 << (8 * width - 1)
    return lambda values: _fixed(values, width, -limit, limit - 1)


def _instants(values: Sequence[Any] | Int64s) -> _Column:
    return _fixed(values, 8, _LEAST_US, _GREATEST_US, -POSTGRES_EPOCH_S * 1_000_000)


def _bytes(values: Sequence[bytes | None]) -> _Column:
    return list(map(_cell, values))


def _uuids(values: Sequence[bytes]) -> _Column:
    return _with_length(np.frombuffer(b"".join(values), np.uint8).reshape(len(values), 16))


def _texts(values: Sequence[str | None]) -> _Column:
    """Most columns of text say the same in nearly every row: each value is encoded once."""
    cells = {text: _cell(None if text is None else text.encode()) for text in set(values)}
    if len(cells) == 1:
        return _repeated(next(iter(cells.values())), len(values))
    return [cells[text] for text in values]


def _jsons(values: Sequence[str | None]) -> _Column:
    return _texts([None if value is None else "\1" + value for value in values])  # the version of the format


_LEAST_US, _GREATEST_US = -(2**61), 2**61
_ENCODERS: dict[str, Callable[[Any], _Column]] = {
    "smallint": _integers(2),
    "integer": _integers(4),
    "bigint": _integers(8),
    "timestamptz": _instants,
    "text": _texts,
    "jsonb": _jsons,
    "bytea": _bytes,
    "uuid": _uuids,
}
