from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.integration.ingest_town import open_pool


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[Any]:
    """Connections to a fresh database with all migrations."""
    async with open_pool(database_url) as pool:
        yield pool
