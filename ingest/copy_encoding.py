"""PostgreSQL's binary COPY format, encoded by numpy a column at a time.

Source: PostgreSQL documentation, COPY, "Binary Format": signature, flags, extension length; per row the number of
fields, then each field as int32 length and big-endian bytes; trailer -1. Timestamps count microseconds from 2000-01-01.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Int64s = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]

READING_COLUMNS = ("meter_id", "ts", "kind", "index_ml")
POSTGRES_EPOCH_S = 946_684_800

_HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_TRAILER = b"\xff\xff"
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


class _Column(NamedTuple):
    """`lengths`: bytes of each value, -1 for NULL. `data`: the values that are not NULL, one after the other.
    `width`: bytes of every value, None where they differ."""

    lengths: Int64s
    data: Bytes
    width: int | None


def encode_rows(kinds: Sequence[str], columns: Sequence[Sequence[Any] | Int64s]) -> bytearray:
    """The whole COPY stream of rows given as columns, at least one, all equally long.

    Values by kind: integers; timestamptz as microseconds since 1970; uuid as 16 bytes; text and jsonb as str; bytea as
    bytes; None is NULL. Raises ValueError for an integer that its column cannot hold.
    """
    encoded = [_ENCODERS[kind](column) for kind, column in zip(kinds, columns, strict=True)]
    lengths = np.stack([column.lengths for column in encoded], axis=1)
    sizes = np.maximum(lengths, 0) + 4
    ends = 2 + np.cumsum(sizes, axis=1)
    row_ends = len(_HEADER) + np.cumsum(ends[:, -1])
    row_starts = row_ends - ends[:, -1]
    data = bytearray(int(row_ends[-1]) + len(_TRAILER))
    data[: len(_HEADER)] = _HEADER
    data[-len(_TRAILER) :] = _TRAILER
    view = np.frombuffer(data, np.uint8)
    view[row_starts[:, None] + np.arange(2)] = np.frombuffer(len(kinds).to_bytes(2, "big"), np.uint8)
    starts = row_starts[:, None] + ends - sizes
    view[starts[..., None] + np.arange(4)] = lengths.astype(">i4").view(np.uint8).reshape(*lengths.shape, 4)
    for position, column in enumerate(encoded):
        _scatter(view, starts[:, position] + 4, column)
    return data


def _scatter(view: Bytes, at: Int64s, column: _Column) -> None:
    """Write each value of a column where its row has it."""
    present = column.lengths >= 0
    if not present.all():
        at = at[present]
    if column.width is not None:
        view[at[:, None] + np.arange(column.width)] = column.data.reshape(-1, column.width)
        return
    lengths = column.lengths[present]
    before = np.cumsum(lengths) - lengths
    view[np.repeat(at - before, lengths) + np.arange(len(column.data))] = column.data


def _fixed(values: Sequence[Any] | Int64s, width: int, least: int, greatest: int, shift: int = 0) -> _Column:
    try:
        numbers = np.asarray(values, np.int64)
        lengths = np.full(len(values), width, np.int64)
    except TypeError:  # there are NULLs
        lengths = np.array([-1 if value is None else width for value in values], np.int64)
        numbers = np.array([value for value in values if value is not None], np.int64)
    if len(numbers) and not (least <= numbers.min() and numbers.max() <= greatest):
        raise ValueError(f"an integer does not fit into {width} bytes")
    return _Column(lengths, (numbers + shift).astype(f">i{width}").view(np.uint8), width)


def _integers(width: int) -> Callable[[Sequence[Any] | Int64s], _Column]:
    limit = 1 << (8 * width - 1)
    return lambda values: _fixed(values, width, -limit, limit - 1)


def _instants(values: Sequence[Any] | Int64s) -> _Column:
    return _fixed(values, 8, _LEAST_US, _GREATEST_US, -POSTGRES_EPOCH_S * 1_000_000)


def _bytes(values: Sequence[bytes | None]) -> _Column:
    if None in values:
        lengths = [-1 if value is None else len(value) for value in values]
        values = [value for value in values if value is not None]
    else:
        lengths = list(map(len, values))  # type: ignore[arg-type]  # no None among them
    return _Column(np.array(lengths, np.int64), np.frombuffer(b"".join(values), np.uint8), None)  # type: ignore[arg-type]


def _uuids(values: Sequence[bytes]) -> _Column:
    return _Column(np.full(len(values), 16, np.int64), np.frombuffer(b"".join(values), np.uint8), 16)


def _texts(values: Sequence[str | None]) -> _Column:
    """Most columns of text say the same in nearly every row: each value is encoded once."""
    distinct = set(values)
    if len(distinct) == 1:
        (text,) = distinct
        data = np.frombuffer(b"" if text is None else text.encode(), np.uint8)
        lengths = np.full(len(values), -1 if text is None else len(data), np.int64)
        return _Column(lengths, np.tile(data, len(values)), len(data) or None)
    encoded = {text: None if text is None else text.encode() for text in distinct}
    return _bytes([encoded[text] for text in values])


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
