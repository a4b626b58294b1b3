"""Brings a database to the schema this program knows, forward only, and refuses to serve on another.

``migrations/NNNN_name.sql`` are applied once each, in order, every one in a transaction of its own together with its
row in ``schema_migrations``. A sibling ``NNNN_name.timescale.sql`` follows in the same transaction on a database that
uses TimescaleDB: one whose server offered the extension when its first migration ran. That choice is kept for the life
of the database, since a table of rows does not turn into a hypertable by itself.

``rights.sql`` states every role's rights anew on each run, so that roles created later, and tables of later
migrations, get theirs (migrations are applied by the owner of the tables, never by one of those roles).
"""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources

import asyncpg

from metering.errors import SchemaError, StartError
from metering.schema_version import SCHEMA_VERSION

LOCK = 0x6E627761746572
"""Advisory lock that one migrating process holds at a time ("nbwater" in ASCII)."""

CONNECT_TIMEOUT_S = 30
CLOSE_TIMEOUT_S = 5
_FILE = re.compile(r"(\d{4})_(\w+)\.sql")

_MIGRATIONS_TABLE = """
CREATE TABLE IF NOT EXISTS public.schema_migrations (
    version    integer PRIMARY KEY,
    name       text NOT NULL,
    sha256     text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now(),
    timescale  boolean NOT NULL
)"""


@dataclass(frozen=True, slots=True)
class Migration:
    version: int
    name: str
    sql: str
    timescale_sql: str
    """Empty: nothing to add on TimescaleDB."""

    def text(self, timescale: bool) -> str:
        return f"{self.sql}\n{self.timescale_sql}" if timescale and self.timescale_sql else self.sql

    def sha256(self, timescale: bool) -> str:
        return hashlib.sha256(self.text(timescale).encode()).hexdigest()


def known_migrations() -> list[Migration]:
    """Every migration this program carries, oldest first."""
    files = {file.name: file for file in (resources.files("ingest.schema") / "migrations").iterdir()}
    found = []
    for name in sorted(files):
        if match := _FILE.fullmatch(name):
            sibling = files.get(name.removesuffix(".sql") + ".timescale.sql")
            found.append(
                Migration(
                    version=int(match[1]),
                    name=match[2],
                    sql=files[name].read_text("utf-8"),
                    timescale_sql=sibling.read_text("utf-8") if sibling else "",
                )
            )
    return found


async def migrate(url: str) -> list[str]:
    """Apply what is missing and state the rights; names of what was applied, oldest first.

    Several may call it at once: they queue, and the later ones find nothing to do. Raises SchemaError for a database
    of a newer or another history, StartError for one that cannot be reached.
    """
    connection = await _connect(url)
    try:
        await connection.execute("SET search_path TO public")
        await connection.execute("SELECT pg_advisory_lock($1)", LOCK)
        await connection.execute(_MIGRATIONS_TABLE)
        return await _apply(connection, known_migrations())
    finally:
        with contextlib.suppress(OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
            await connection.close(timeout=CLOSE_TIMEOUT_S)  # lets go of the lock, too


async def check(connection: asyncpg.Connection) -> None:
    """Raise SchemaError unless the database has exactly the schema this program was written for."""
    if await connection.fetchval("SELECT to_regclass('public.schema_migrations') IS NULL"):
        raise SchemaError("the database has no nbwater schema yet: run `nbwater migrate`")
    version = await connection.fetchval("SELECT max(version) FROM public.schema_migrations") or 0
    if version < SCHEMA_VERSION:
        raise SchemaError(
            f"the database's schema is version {version}, this program needs {SCHEMA_VERSION}: run `nbwater migrate`"
        )
    if version > SCHEMA_VERSION:
        raise _newer(version)


async def _connect(url: str) -> asyncpg.Connection:
    try:
        return await asyncpg.connect(url, timeout=CONNECT_TIMEOUT_S)
    except (OSError, TimeoutError, ValueError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise StartError(f"the database cannot be reached: {str(error) or type(error).__name__}") from error


async def _apply(connection: asyncpg.Connection, migrations: Sequence[Migration]) -> list[str]:
    applied = await connection.fetch(
        "SELECT version, name, sha256, timescale FROM public.schema_migrations ORDER BY version"
    )
    _same_history(applied, migrations)
    timescale = applied[0]["timescale"] if applied else await _offer_timescale(connection)
    names = []
    for migration in migrations[len(applied) :]:
        await _apply_one(connection, migration, timescale)
        names.append(f"{migration.version:04d}_{migration.name}")
    await _state_rights(connection)
    return names


async def _apply_one(connection: asyncpg.Connection, migration: Migration, timescale: bool) -> None:
    try:
        async with connection.transaction():
            await connection.execute(migration.text(timescale))
            await connection.execute(
                "INSERT INTO public.schema_migrations (version, name, sha256, timescale) VALUES ($1, $2, $3, $4)",
                migration.version,
                migration.name,
                migration.sha256(timescale),
                timescale,
            )
    except asyncpg.PostgresError as error:
        raise SchemaError(f"migration {migration.version:04d}_{migration.name}: {error}") from error


async def _state_rights(connection: asyncpg.Connection) -> None:
    async with connection.transaction():
        await connection.execute((resources.files("ingest.schema") / "rights.sql").read_text("utf-8"))


def _same_history(applied: Sequence[asyncpg.Record], migrations: Sequence[Migration]) -> None:
    """The past of the database must be the beginning of ours, byte for byte."""
    if len(applied) > len(migrations):
        raise _newer(applied[-1]["version"])
    for row, migration in zip(applied, migrations, strict=False):
        if (row["version"], row["sha256"]) != (migration.version, migration.sha256(row["timescale"])):
            raise SchemaError(
                f"migration {row['version']:04d}_{row['name']} of the database is not the one this program carries "
                f"({migration.version:04d}_{migration.name}): it was made by another build"
            )


def _newer(version: int) -> SchemaError:
    return SchemaError(
        f"the database's schema is version {version}, newer than this program knows ({SCHEMA_VERSION}): update nbwater"
    )


async def _offer_timescale(connection: asyncpg.Connection) -> bool:
    """Whether this new database is to use TimescaleDB: it does where the server has it."""
    if not await connection.fetchval("SELECT true FROM pg_available_extensions WHERE name = 'timescaledb'"):
        return False
    try:
        await connection.execute("CREATE EXTENSION IF NOT EXISTS timescaledb")
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise SchemaError(
            f"the server has TimescaleDB but does not let this database use it ({error}): add it to "
            "shared_preload_libraries, or let a superuser run CREATE EXTENSION timescaledb"
        ) from error
    return True
