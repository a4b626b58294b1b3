"""The api as a process: ready line, first password, pages behind the login, refusals to start, drain."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import ssl
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import httpx
import pytest

from deploy.embedded.nats import NatsServer
from metering.schema_version import SCHEMA_VERSION

START_S = 60


@asynccontextmanager
async def api_process(database_url: str, **settings: str) -> AsyncIterator[asyncio.subprocess.Process]:
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("NBWATER_")
    } | {"NBWATER_DATABASE_URL": database_url, "NBWATER_API_PORT": "0"} | settings  # fmt: skip
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "api", env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def line_of(process: asyncio.subprocess.Process) -> dict:
    assert process.stdout is not None
    line = await asyncio.wait_for(process.stdout.readline(), START_S)
    assert line, (await process.stderr.read()).decode() if process.stderr else ""
    return json.loads(line)


async def refused(database_url: str, **settings: str) -> str:
    """What it says on stderr when it does not start."""
    async with api_process(database_url, **settings) as process:
        _, err = await asyncio.wait_for(process.communicate(), START_S)
        assert process.returncode == 1, err.decode()
        return err.decode().strip().splitlines()[-1]


async def test_first_start_login_pages_and_drain(database_url: str, nats_server: NatsServer, nats_url: str) -> None:
    async with api_process(database_url, NBWATER_NATS_URL=nats_server.url_for("api")) as process:
        first = await line_of(process)
        assert first["login"] == "admin"
        ready = await line_of(process)
        assert ready["ready"] == "api"
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{ready['port']}") as client:
            assert (await client.get("/readyz")).json()["ready"]
            assert (await client.get("/")).headers["location"] == "/login"
            assert "<form" in (await client.get("/login")).text
            for address in (
                "/favicon.ico",
                "/theme/none.css",
                "/theme/%2e%2e/app.py",
                "/preferences/",
                "/preferences/x/y",
            ):
                nothing = await client.get(address)  # open to strangers, and neither a page nor a failure
                assert (nothing.status_code, len(nothing.content) < 300) == (404, True), address
            assert (await client.get("/_nicegui_ws/socket.io/?EIO=4&transport=polling")).status_code == 401
            origin = {"Origin": str(client.base_url)}
            form = {"login": "admin", "password": first["first_password"]}
            assert (await client.post("/login", data=form, headers=origin)).headers["location"] == "/"
            assert (await client.get("/")).headers["location"] == "/password"
            change = {"current": first["first_password"], "password": "one-of-my-own"}
            assert (await client.post("/password", data=change, headers=origin)).headers["location"] == "/"
            page = await client.get("/")
            assert page.status_code == 200
            assert "socket.io" in page.text
        process.send_signal(signal.SIGTERM)
        out, err = await asyncio.wait_for(process.communicate(), START_S)
        assert process.returncode == 0, err.decode()
        assert first["first_password"].encode() not in out + err


async def test_an_injected_password_is_not_shown(database_url: str) -> None:
    async with api_process(database_url, NBWATER_API_FIRST_PASSWORD="injected-for-the-demo") as process:
        assert (await line_of(process))["ready"] == "api"


async def test_over_tls_no_cookie_goes_in_the_clear(database_url: str, tmp_path: Path) -> None:
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    openssl = await asyncio.create_subprocess_exec(
        *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost"),
        *("-addext", "subjectAltName=IP:127.0.0.1", "-out", str(certificate), "-keyout", str(key)),
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert await openssl.wait() == 0
    tls = {"NBWATER_API_TLS_CERTIFICATE": str(certificate), "NBWATER_API_TLS_KEY": str(key)}
    async with api_process(database_url, NBWATER_API_HOST="0.0.0.0", **tls) as process:
        first = await line_of(process)
        port = (await line_of(process))["port"]
        trusting = ssl.create_default_context(cafile=str(certificate))
        async with httpx.AsyncClient(base_url=f"https://127.0.0.1:{port}", verify=trusting) as client:
            form = {"login": "admin", "password": first["first_password"]}
            answer = await client.post("/login", data=form, headers={"Origin": str(client.base_url)})
            assert answer.headers["location"] == "/"
            assert answer.headers["strict-transport-security"]
            pages = [answer, await client.get("/preferences/language/en"), await client.get("/password")]
            cookies = [cookie for page in pages for cookie in page.headers.get_list("set-cookie")]
            assert {cookie.partition("=")[0] for cookie in cookies} >= {"nbwater_session", "nbwater_language"}
            assert all("; secure" in cookie.lower() for cookie in cookies), cookies


async def test_it_says_why_it_does_not_start(database_url: str) -> None:
    assert "is not loopback" in await refused(database_url, NBWATER_API_HOST="0.0.0.0")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        said = await refused(database_url, NBWATER_API_PORT=str(taken.getsockname()[1]))
    assert "cannot listen" in said
    assert "cannot connect to the database" in await refused("postgresql://nobody:x@127.0.0.1:1/none")
    assert "10 to 256 characters" in await refused(database_url, NBWATER_API_FIRST_PASSWORD="short")


@pytest.mark.parametrize(("change", "said"), [(1, "update nbwater"), (-1, "run `nbwater migrate`")])
async def test_a_schema_of_another_release_is_refused(database_url: str, change: int, said: str) -> None:
    connection = await asyncpg.connect(database_url)
    await connection.execute(
        "UPDATE schema_migrations SET version = version + $2 WHERE version = $1 AND $2 > 0", SCHEMA_VERSION, change
    )
    await connection.execute("DELETE FROM schema_migrations WHERE version = $1 AND $2 < 0", SCHEMA_VERSION, change)
    await connection.close()
    assert said in await refused(database_url)
