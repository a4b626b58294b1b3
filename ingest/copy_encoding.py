"""PostgreSQL's binary COPY format for readings, encoded by numpy in one go.

Source: PostgreSQL documentation, COPY, "Binary Format": signature, flags, extension length; per row the number of
fields, then each field as int32 length and big-endian bytes; trailer -1. Timestamps count microseconds from 2000-01-01.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

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


def encode_readings(
    meter_id: npt.NDArray[np.int64],
    ts_s: npt.NDArray[np.int64],
    kind: npt.NDArray[np.int16],
    index_ml: npt.NDArray[np.int64],
) -> bytearray:
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
