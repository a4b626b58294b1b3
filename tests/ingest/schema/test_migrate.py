"""Migrations: forward only, once, under a lock, on plain PostgreSQL and on TimescaleDB."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest

from ingest.schema import migrate as module
from ingest.schema.migrate import check, known_migrations, migrate
from metering.errors import SchemaError, StartError
from metering.schema_version import SCHEMA_VERSION

ALL = [f"{migration.version:04d}_{migration.name}" for migration in known_migrations()]


@pytest.fixture
async def connection(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


def test_versions_are_numbered_without_holes_and_the_vocabulary_names_the_newest() -> None:
    assert [migration.version for migration in known_migrations()] == list(range(1, SCHEMA_VERSION + 1))


def test_every_timescale_file_has_its_sibling() -> None:
    files = [file.name for file in (module.resources.files("ingest.schema") / "migrations").iterdir()]
    siblings = {name.removesuffix(".timescale.sql") + ".sql" for name in files if name.endswith(".timescale.sql")}
    assert siblings
    assert siblings <= set(files)


async def test_from_nothing_and_again(any_empty_url: str) -> None:
    assert await migrate(any_empty_url) == ALL
    assert await migrate(any_empty_url) == []
    connection = await asyncpg.connect(any_empty_url)
    await check(connection)
    available = await connection.fetchval("SELECT count(*) FROM pg_available_extensions WHERE name = 'timescaledb'")
    chosen = await connection.fetch("SELECT DISTINCT timescale FROM schema_migrations")
    assert [row["timescale"] for row in chosen] == [bool(available)]
    await connection.close()


async def test_those_who_migrate_at_once_queue(empty_database_url: str) -> None:
    results = await asyncio.gather(*(migrate(empty_database_url) for _ in range(6)))
    assert sorted(results) == [[]] * 5 + [ALL]


async def test_a_failed_migration_leaves_nothing_and_is_named(
    empty_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = module.Migration(SCHEMA_VERSION + 1, "broken", "CREATE TABLE half (x int); SELECT 1 / 0;", "")
    monkeypatch.setattr(module, "known_migrations", lambda: [*known_migrations(), broken])
    with pytest.raises(SchemaError, match="broken: division by zero"):
        await module.migrate(empty_database_url)
    monkeypatch.undo()
    assert await migrate(empty_database_url) == []
    connection = await asyncpg.connect(empty_database_url)
    assert await connection.fetchval("SELECT to_regclass('half')") is None
    await connection.close()


async def test_a_newer_schema_is_refused(database_url: str, connection: asyncpg.Connection) -> None:
    await connection.execute(
        "INSERT INTO schema_migrations (version, name, sha256, timescale) VALUES ($1, 'later', '', false)",
        SCHEMA_VERSION + 1,
    )
    with pytest.raises(SchemaError, match=rf"version {SCHEMA_VERSION + 1}, newer than .*: update nbwater"):
        await check(connection)
    with pytest.raises(SchemaError, match="update nbwater"):
        await migrate(database_url)


async def test_an_older_or_missing_schema_asks_for_migrate(connection: asyncpg.Connection) -> None:
    await connection.execute("DELETE FROM schema_migrations WHERE version = $1", SCHEMA_VERSION)
    with pytest.raises(SchemaError, match="run `nbwater migrate`"):
        await check(connection)
    await connection.execute("DROP TABLE schema_migrations")
    with pytest.raises(SchemaError, match="no nbwater schema yet: run `nbwater migrate`"):
        await check(connection)


async def test_a_changed_past_is_refused(database_url: str, connection: asyncpg.Connection) -> None:
    await connection.execute("UPDATE schema_migrations SET sha256 = 'other' WHERE version = 2")
    with pytest.raises(SchemaError, match=r"0002_reports .* another build"):
        await migrate(database_url)


async def test_a_plain_database_stays_plain_when_the_server_gets_the_extension(
    empty_timescale_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, *_ = known_migrations()
    monkeypatch.setattr(module, "known_migrations", lambda: [first])
    monkeypatch.setattr(module, "_offer_timescale", lambda _: asyncio.sleep(0, result=False))
    monkeypatch.setattr(module, "_state_rights", lambda _: asyncio.sleep(0))
    await module.migrate(empty_timescale_url)
    monkeypatch.undo()
    assert await migrate(empty_timescale_url) == ALL[1:]
    connection = await asyncpg.connect(empty_timescale_url)
    assert await connection.fetchval("SELECT count(*) FROM pg_extension WHERE extname = 'timescaledb'") == 0
    await connection.close()


async def test_an_unreachable_database_is_one_clear_error() -> None:
    with pytest.raises(StartError, match="the database cannot be reached: ") as caught:
        await migrate("postgresql://nobody:hunter2@127.0.0.1:1/nothing")
    assert "hunter2" not in str(caught.value)
