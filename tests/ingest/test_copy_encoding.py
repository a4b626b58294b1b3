from __future__ import annotations

from typing import Any

import asyncpg
import numpy as np
import pytest

from ingest import report_rows
from ingest.copy_encoding import READING_COLUMNS, encode_readings, encode_rows


async def test_postgresql_reads_what_was_encoded(database_url: str) -> None:
    meters = np.array([1, 2, 2**62], np.int64)
    times = np.array([0, 946_684_800, 4_000_000_000], np.int64)
    kinds, indices = np.array([0, 1, 2], np.int16), np.array([0, -5, 10**16], np.int64)
    connection = await asyncpg.connect(database_url)
    for part in (slice(0, 3), slice(3, 3)):
        data = encode_readings(meters[part], times[part], kinds[part], indices[part])
        await connection.copy_to_table("readings", source=data, columns=list(READING_COLUMNS), format="binary")
    rows = await connection.fetch(
        "SELECT meter_id, extract(epoch FROM ts)::bigint, kind, index_ml FROM readings ORDER BY meter_id"
    )
    await connection.close()
    assert [tuple(row) for row in rows] == list(
        zip(meters.tolist(), times.tolist(), kinds.tolist(), indices.tolist(), strict=True)
    )


KINDS = ("bigint", "smallint", "integer", "timestamptz", "uuid", "text", "text", "jsonb", "bytea")
_TABLE = (
    "CREATE TEMP TABLE taken (a bigint, b smallint, c integer, d timestamptz, e uuid, f text, g text, h jsonb, i bytea)"
)
_IDS = [bytes([n]) * 16 for n in range(3)]


@pytest.mark.parametrize(
    "columns",
    [
        (
            [1, None, -(2**63)], [None, -(2**15), 2**15 - 1], [0, 2**31 - 1, None], [0, None, 1_790_000_000_123_456],
            _IDS, ["same", "same", "same"], ["", None, "水表"], ['{"a": 1}', None, "[]"], [b"", b"\0\xff", None],
        ),
        ([7], [None], [None], [None], _IDS[:1], [""], [None], [None], [b"x"]),
    ],
)  # fmt: skip
async def test_postgresql_reads_rows_of_every_kind(database_url: str, columns: tuple[list[Any], ...]) -> None:
    connection = await asyncpg.connect(database_url)
    await connection.execute(_TABLE)
    await connection.copy_to_table("taken", source=encode_rows(KINDS, columns), format="binary")
    rows = await connection.fetch("SELECT * FROM taken ORDER BY e")
    await connection.close()
    parameters = dict(zip("abcdefghi", KINDS, strict=True))
    expected = report_rows.parameters(parameters, zip(*columns, strict=True))
    assert [tuple(row) for row in rows] == list(zip(*expected, strict=True))


@pytest.mark.parametrize(("kind", "value"), [("smallint", 2**15), ("integer", -(2**31) - 1), ("text", "\ud800")])
def test_what_no_column_holds_is_refused(kind: str, value: object) -> None:
    with pytest.raises(ValueError, match=r"fit|surrogates"):
        encode_rows([kind, kind], [[value], [value]])
