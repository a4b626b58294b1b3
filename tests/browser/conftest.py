"""A real Chromium on a real api process on a seeded database."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, Page, async_playwright

from deploy.embedded.postgres import PostgresServer
from tests.browser.town import PASSWORD, seed, seed_people
from tests.conftest import TEMPLATE

CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
PATIENCE_MS = 90_000
"""A browser shares two cores with the platforms of other tests; its own limit is 30 s."""
SCREENSHOTS = Path("build/screenshots")
READY_S = 240
WIDE = {"width": 1280, "height": 900}
PHONE = {"width": 390, "height": 844}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "browser" in item.fixturenames and not os.access(CHROMIUM, os.X_OK):
            item.add_marker(pytest.mark.skip(reason=f"NOT RUN: {CHROMIUM} is not installed (apt install chromium)"))


class Site:
    """The running pages, and the database behind them."""

    def __init__(self, process: subprocess.Popen[str], port: int, database_url: str) -> None:
        self.process, self.base, self.database_url = process, f"http://127.0.0.1:{port}", database_url


@pytest.fixture(scope="session")
def town(postgres_server: PostgresServer) -> Iterator[str]:
    """Name of a database that holds the seeded town; nobody connects to it, so that it can be copied."""
    with _database(postgres_server, TEMPLATE) as name:
        asyncio.run(seed(postgres_server.url(name)))
        yield name


@pytest.fixture(scope="session")
def site(postgres_server: PostgresServer, town: str) -> Iterator[Site]:
    """The seeded town, shared by all tests that only look."""
    with _database(postgres_server, town) as name, _serving(postgres_server.url(name)) as running:
        yield running


@pytest.fixture(scope="session")
def changing_site(postgres_server: PostgresServer, town: str) -> Iterator[Site]:
    """Another one, shared by the tests that change it: each something else, that the others do not look at."""
    with _database(postgres_server, town) as name, _serving(postgres_server.url(name)) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="session")
async def empty_site(postgres_server: PostgresServer) -> AsyncIterator[Site]:
    """People, but not one meter."""
    with _database(postgres_server, TEMPLATE) as name:
        await seed_people(postgres_server.url(name))
        with _serving(postgres_server.url(name)) as running:
            yield running


@contextmanager
def _database(server: PostgresServer, template: str) -> Iterator[str]:
    """A copy of a database, by its name; dropped afterwards."""
    name = f"test_{secrets.token_hex(6)}"

    async def administer(statement: str) -> None:
        connection = await asyncpg.connect(server.url("postgres"))
        await connection.execute(statement)
        await connection.close()

    def run(statement: str) -> None:  # in a thread of its own: the caller's may have a loop running
        thread = threading.Thread(target=lambda: asyncio.run(administer(statement)))
        thread.start()
        thread.join()

    run(f"CREATE DATABASE {name} TEMPLATE {template}")
    try:
        yield name
    finally:
        run(f"DROP DATABASE {name} WITH (FORCE)")


@contextmanager
def _serving(database_url: str) -> Iterator[Site]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("NBWATER_")}
    environment |= {"NBWATER_DATABASE_URL": database_url, "NBWATER_API_PORT": "0", "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(
        [sys.executable, "-m", "api"], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    said: list[str] = []
    threading.Thread(target=_collect, args=(process, said), daemon=True).start()
    hang = threading.Timer(READY_S, process.kill)
    hang.start()
    try:
        port = _ready_port(process, said)
        hang.cancel()
        yield Site(process, port, database_url)
        process.terminate()
        assert process.wait(20) == 0, "".join(said)
    finally:
        hang.cancel()
        process.kill()
        process.wait()
    assert not [line for line in said if "Traceback" in line], "".join(said)


def _collect(process: subprocess.Popen[str], said: list[str]) -> None:
    assert process.stderr is not None
    said.extend(process.stderr)


def _ready_port(process: subprocess.Popen[str], said: list[str]) -> int:
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("{") and "ready" in (message := json.loads(line)):
            return int(message["port"])
    process.wait()
    raise AssertionError(f"the api ended before it was ready: {''.join(said)}")


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield chromium
        await chromium.close()


class Visitor:
    """A person at a browser: every page is watched for errors and for requests that leave this host."""

    def __init__(self, context: BrowserContext, page: Page, base: str) -> None:
        self.context, self.page, self.base = context, page, base
        self.faults: list[str] = []
        page.on("console", lambda message: message.type == "error" and self.faults.append(message.text))
        page.on("pageerror", lambda error: self.faults.append(str(error)))
        page.on("request", lambda request: self._check(request.url))
        page.on("websocket", lambda socket: self._check(socket.url.replace("ws://", "http://")))

    def _check(self, url: str) -> None:
        if not url.startswith((f"{self.base}/", "data:", "blob:")):
            self.faults.append(f"leaves the host: {url}")

    async def log_in(self, role: str = "operator", language: str = "zh") -> None:
        await self.page.goto(f"{self.base}/login?language={language}")
        await self.page.fill("input[name=login]", f"test-{role}")
        await self.page.fill("input[name=password]", PASSWORD)
        await self.page.click("button[type=submit]")
        await self.page.wait_for_selector(".nb-header")

    async def open(self, path: str) -> None:
        """Opens a page and waits until its websocket has it in hand: the live indicator then says so."""
        await self.page.goto(self.base + path)
        await self.page.wait_for_selector(".nb-live-words:not(:empty)", state="attached")

    async def text(self) -> str:
        return await self.page.inner_text("body")

    async def shoot(self, name: str) -> None:
        await self.page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=True)


class Visitors:
    def __init__(self, browser: Browser) -> None:
        self._browser = browser
        self.all: list[Visitor] = []

    async def new(self, site: Site, size: dict[str, int] | None = None) -> Visitor:
        size = size or WIDE
        context = await self._browser.new_context(viewport=size, is_mobile=size["width"] < 500)
        context.set_default_timeout(PATIENCE_MS)
        visitor = Visitor(context, await context.new_page(), site.base)
        self.all.append(visitor)
        return visitor


@pytest_asyncio.fixture(loop_scope="session")
async def visitors(browser: Browser) -> AsyncIterator[Visitors]:
    made = Visitors(browser)
    yield made
    for visitor in made.all:
        await visitor.context.close()
