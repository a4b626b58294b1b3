"""What the readings take on disk."""

from __future__ import annotations

from typing import Any

_PLAIN = """
SELECT pg_table_size('readings') AS rows_bytes, pg_indexes_size('readings') AS index_bytes,
       (SELECT count(*) FROM readings) AS readings"""
_HYPERTABLE = """
SELECT sum(table_bytes + toast_bytes)::bigint AS rows_bytes, sum(index_bytes)::bigint AS index_bytes,
       (SELECT count(*) FROM readings) AS readings FROM hypertable_detailed_size('readings')"""


async def is_hypertable(connection: Any) -> bool:
    return bool(await connection.fetchval("SELECT count(*) FROM pg_extension WHERE extname = 'timescaledb'"))


async def bytes_per_reading(connection: Any) -> dict[str, Any]:
    """Heap and key of a reading as it is written. Of compressed ones: see the section `compression`."""
    row = await connection.fetchrow(_HYPERTABLE if await is_hypertable(connection) else _PLAIN)
    readings = max(1, row["readings"])
    return {
        "readings": row["readings"],
        "row_bytes_per_reading": row["rows_bytes"] / readings,
        "key_bytes_per_reading": row["index_bytes"] / readings,
        "bytes_per_reading": (row["rows_bytes"] + row["index_bytes"]) / readings,
    }
