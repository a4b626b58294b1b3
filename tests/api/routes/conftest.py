"""The REST interface with the rights that the api has in the database."""

from __future__ import annotations

from collections.abc import AsyncIterator

import asyncpg
import pytest

from api.database import ReadPool, WritePool, open_read_pool, open_write_pool
from tests.api.conftest import Seed

ROLE = "?options=-crole%3Dnbwater_api"


@pytest.fixture
async def write(database_url: str) -> AsyncIterator[WritePool]:
    pool = await open_write_pool(database_url + ROLE, 2)
    yield pool
    await pool.close()


@pytest.fixture
async def read(database_url: str) -> AsyncIterator[ReadPool]:
    pool = await open_read_pool(database_url + ROLE, 4)
    yield pool
    await pool.close()


@pytest.fixture
async def connection(database_url: str, seeded: Seed) -> AsyncIterator[asyncpg.Connection]:
    """With the owner's rights."""
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()
