"""Keys as people see them: found by every name of their device, with ids as they are written."""

from __future__ import annotations

import asyncpg
import pytest

from api.database import ReadPool
from api.queries.credentials import find_credentials, keys_of_meter
from metering.credentials import CredentialKind
from tests.api.conftest import Seed

SERIAL, IMEI = "210000000001", "861234567890101"


@pytest.fixture(autouse=True)
async def _keys(seeded: Seed, database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    await connection.execute(
        "INSERT INTO credentials (device_id, kind, key_id, sealed, created_by, revoked_at) VALUES"
        " (1, 1, '\\x01ff', 'sealed', 'li', NULL), (1, 2, 'psk', 'sealed', 'li', now()),"
        " (2, 3, 'user', 'sealed', 'li', NULL)"
    )
    await connection.close()


async def test_keys_of_a_meter(read: ReadPool) -> None:
    assert [(key.kind, key.key_id, key.device) for key in await keys_of_meter(read, SERIAL)] == [
        ("psk", "psk", IMEI), ("oscore", "01ff", IMEI),
    ]  # fmt: skip
    assert await keys_of_meter(read, "nobody's") == []


async def test_keys_are_found(read: ReadPool) -> None:
    async def ids(device: str = "", kind: CredentialKind | None = None, valid_only: bool = True) -> list[str]:
        found = await find_credentials(read, device, kind, valid_only=valid_only, limit=10)
        return [key.key_id for key in found]

    assert await ids() == ["user", "01ff"]
    assert await ids(valid_only=False) == ["user", "psk", "01ff"]
    assert await ids(SERIAL) == await ids(IMEI) == ["01ff"]
    assert await ids(kind=CredentialKind.MQTT) == ["user"]
