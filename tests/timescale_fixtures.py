"""TimescaleDB for the tests: compiled to WebAssembly always, a native server where one is named.

========================  =========================================================================================
`timescale_url`           WebAssembly, all migrations applied, no rows. One client is served at a time (a pool must
                          have max_size=1; leave before the next comes), COPY is refused, policies do not run.
`empty_timescale_url`     the same without any schema; a server of its own
`any_database_url`        runs the test twice: plain PostgreSQL, then WebAssembly TimescaleDB
`any_empty_url`           the same without any schema
`native_timescale_url`    a fresh migrated database on the server of NBWATER_TEST_TIMESCALE_URL; NOT RUN without
========================  =========================================================================================
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import ModuleType
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest

from deploy.embedded.postgres import PostgresServer
from ingest.schema.migrate import migrate
from tests.databases import fresh_database

NATIVE_URL = "NBWATER_TEST_TIMESCALE_URL"
NOT_RUN = f"NOT RUN: {NATIVE_URL} is not set (address of a server with TimescaleDB, as a user who may create databases)"


class WasmTimescale:
    """One WebAssembly server process; it ends when its stdin does, so also when the test run is killed."""

    def __init__(self, node: Path, directory: Path) -> None:
        self.process = subprocess.Popen(
            [node, directory / "serve.mjs"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=directory
        )
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"the WebAssembly TimescaleDB ended with code {self.process.wait()}")
        self.url = f"postgresql://postgres@127.0.0.1:{json.loads(line)['port']}/postgres"

    def stop(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture(scope="session")
def wasm_installation() -> ModuleType:
    """The module tests/timescale/install.py after it did its work."""
    spec = importlib.util.spec_from_file_location("install_timescale", Path(__file__).parent / "timescale/install.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    try:
        module.install()
    except module.InstallError as error:
        pytest.skip(f"NOT RUN on TimescaleDB: its WebAssembly package cannot be installed: {error}")
    return module


@pytest.fixture(scope="session")
def _wasm_servers(wasm_installation: ModuleType) -> Iterator[list[WasmTimescale]]:
    """The running server is the last; a test that breaks it costs the next test a start, no more."""
    servers: list[WasmTimescale] = []
    yield servers
    for server in servers:
        server.stop()


@pytest.fixture
async def timescale_url(_wasm_servers: list[WasmTimescale], wasm_installation: ModuleType) -> str:
    if not _wasm_servers or _wasm_servers[-1].process.poll() is not None:
        _wasm_servers.append(WasmTimescale(wasm_installation.NODE, wasm_installation.TARGET))
    url = _wasm_servers[-1].url
    await migrate(url)
    connection = await asyncpg.connect(url)
    tables = await connection.fetchval(
        "SELECT string_agg(quote_ident(tablename), ', ') FROM pg_tables "
        "WHERE schemaname = 'public' AND tablename <> 'schema_migrations'"
    )
    await connection.execute(f"TRUNCATE {tables} RESTART IDENTITY CASCADE")
    await connection.close()
    return url


@pytest.fixture
def empty_timescale_url(wasm_installation: ModuleType) -> Iterator[str]:
    server = WasmTimescale(wasm_installation.NODE, wasm_installation.TARGET)
    yield server.url
    server.stop()


@pytest.fixture(params=["postgresql", "timescaledb"])
def any_database_url(request: pytest.FixtureRequest) -> str:
    return request.getfixturevalue("database_url" if request.param == "postgresql" else "timescale_url")


@pytest.fixture
async def empty_database_url(postgres_server: PostgresServer) -> AsyncIterator[str]:
    async with fresh_database(postgres_server.url("postgres")) as name:
        yield postgres_server.url(name)


@pytest.fixture(params=["postgresql", "timescaledb"])
def any_empty_url(request: pytest.FixtureRequest) -> str:
    return request.getfixturevalue("empty_database_url" if request.param == "postgresql" else "empty_timescale_url")


@pytest.fixture
async def native_timescale_url() -> AsyncIterator[str]:
    server = os.environ.get(NATIVE_URL)
    if not server:
        pytest.skip(NOT_RUN)
    async with fresh_database(server) as name:
        url = urlunsplit(urlsplit(server)._replace(path=f"/{name}"))
        await migrate(url)
        yield url
