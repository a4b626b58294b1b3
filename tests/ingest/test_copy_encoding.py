from __future__ import annotations

import asyncpg
import numpy as np

from ingest.copy_encoding import READING_COLUMNS, encode_readings


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
