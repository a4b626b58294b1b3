"""Restore points: copies of the database from which it can be restored, because the stream still has what follows them.

A point is marked before the copy is begun, so that the copy contains at least what the point says; the trimmer keeps
the stream above it until it is unmarked (`ingest/trimmer.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import asyncpg

from metering.errors import ConflictError, NotFoundError

_MARK = """
INSERT INTO restore_points (label, partition, stream_created, sequence)
SELECT $1, p.partition, w.stream_created, COALESCE(w.sequence, 0)
FROM generate_series(0, $2 - 1) AS p (partition) LEFT JOIN watermarks w USING (partition)
"""
_LIST = """
SELECT label, min(created_at) AS created_at, min(sequence) AS sequence FROM restore_points
GROUP BY label ORDER BY created_at, label
"""
_HELD = "SELECT CASE WHEN stream_created = $1 THEN sequence ELSE 0 END AS sequence FROM restore_points"


@dataclass(frozen=True, slots=True)
class RestorePoint:
    """`sequence`: the stream is kept above it; of several partitions the least."""

    label: str
    created_at: datetime
    sequence: int


async def mark(pool: Any, label: str, partitions: int) -> None:
    """Keep the stream above what the database holds now. Raises ConflictError when the label is taken."""
    try:
        await pool.execute(_MARK, label, partitions)
    except asyncpg.UniqueViolationError as error:
        raise ConflictError(f"the restore point {label} exists: unmark it, or choose another label") from error


async def unmark(pool: Any, label: str) -> None:
    """The copy is gone: the stream need not be kept for it. Raises NotFoundError."""
    if await pool.execute("DELETE FROM restore_points WHERE label = $1", label) == "DELETE 0":
        raise NotFoundError(f"no restore point is called {label}")


async def marked(pool: Any) -> list[RestorePoint]:
    """All points, oldest first."""
    return [RestorePoint(**row) for row in await pool.fetch(_LIST)]


async def held_sequences(pool: Any, stream_created: Any) -> list[int]:
    """The sequence of each point in this life of the stream; 0 for points that a former life left: a database restored
    from such a copy begins at the stream's beginning."""
    return [row["sequence"] for row in await pool.fetch(_HELD, stream_created)]
