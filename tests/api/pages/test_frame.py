"""A page that fails says so in its reader's language, as the process serves it."""

from __future__ import annotations

import asyncio
import signal

import asyncpg
import httpx

from api.pages.texts import TEXTS
from tests.api.test_main import START_S, api_process, line_of

OWN = "one-of-my-own"


async def test_a_fault_of_ours_is_told_in_the_readers_language(database_url: str) -> None:
    async with api_process(database_url) as process:
        first = await line_of(process)
        ready = await line_of(process)
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{ready['port']}", timeout=START_S) as client:
            await _log_in(client, first["first_password"])
            connection = await asyncpg.connect(database_url)
            await connection.execute("ALTER TABLE billing_periods RENAME TO lost")
            await connection.close()
            for language in ("zh", "en"):
                client.cookies.set("nbwater_language", language)
                page = await client.get("/billing")
                assert page.status_code == 500
                assert getattr(TEXTS["frame.broke"], language) in page.text
                assert "UndefinedTable" not in page.text
        process.send_signal(signal.SIGTERM)
        _, err = await asyncio.wait_for(process.communicate(), START_S)
        assert process.returncode == 0
        assert err.count(b"request_broke") == 2


async def _log_in(client: httpx.AsyncClient, password: str) -> None:
    origin = {"Origin": str(client.base_url)}
    await client.post("/login", data={"login": "admin", "password": password}, headers=origin)
    weak = await client.post("/password", data={"current": password, "password": "short"}, headers=origin)
    assert weak.headers["location"] == "/password?error=weak"
    changed = await client.post("/password", data={"current": password, "password": OWN}, headers=origin)
    assert changed.headers["location"] == "/"
