"""The database as commands read it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from api.database import ReadPool, open_read_pool


@asynccontextmanager
async def reading(url: str) -> AsyncIterator[ReadPool]:
    """One connection that can only read, closed with the block. Raises as `open_read_pool`."""
    pool = await open_read_pool(url, size=1)
    try:
        yield pool
    finally:
        await pool.close()
