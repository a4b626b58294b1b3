"""What a restore point keeps of the stream."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest

from ingest.restore_points import held_sequences, mark, marked, unmark
from metering.errors import ConflictError, NotFoundError
from tests.integration.ingest_town import open_pool

STREAM = datetime(2026, 1, 1, tzinfo=UTC)
LATER_STREAM = datetime(2026, 2, 1, tzinfo=UTC)


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[Any]:
    async with open_pool(database_url) as pool:
        await pool.execute(
            "INSERT INTO watermarks (partition, stream_created, sequence) VALUES (0, $1, 70), (1, $1, 40)", STREAM
        )
        yield pool


async def test_it_holds_what_each_partition_has_taken(pool: Any) -> None:
    await mark(pool, "night", 2)
    await pool.execute("UPDATE watermarks SET sequence = 100")
    await mark(pool, "noon", 2)
    assert sorted(await held_sequences(pool, STREAM)) == [40, 70, 100, 100]
    assert [(point.label, point.sequence) for point in await marked(pool)] == [("night", 40), ("noon", 100)]
    await unmark(pool, "night")
    assert await held_sequences(pool, STREAM) == [100, 100]


async def test_a_partition_that_never_began_is_held_whole(pool: Any) -> None:
    await mark(pool, "night", 3)
    assert sorted(await held_sequences(pool, STREAM)) == [0, 40, 70]


async def test_a_stream_made_anew_is_held_whole(pool: Any) -> None:
    await mark(pool, "night", 2)
    assert await held_sequences(pool, LATER_STREAM) == [0, 0]


async def test_a_label_is_for_one_copy(pool: Any) -> None:
    await mark(pool, "night", 2)
    with pytest.raises(ConflictError, match="night exists: unmark it"):
        await mark(pool, "night", 2)
    assert sorted(await held_sequences(pool, STREAM)) == [40, 70]


async def test_what_is_not_marked_cannot_be_unmarked(pool: Any) -> None:
    with pytest.raises(NotFoundError, match="no restore point is called night"):
        await unmark(pool, "night")
