"""Who sends the head of a request drop by drop is left."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import uvicorn
from starlette.responses import PlainTextResponse

from api import header_limit
from api.header_limit import HeaderLimitedProtocol

REQUEST = b"GET / HTTP/1.1\r\nHost: test\r\n\r\n"


@pytest.fixture
async def port() -> AsyncIterator[int]:
    config = uvicorn.Config(PlainTextResponse("here"), port=0, http=HeaderLimitedProtocol, log_config=None)
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    async with asyncio.timeout(60):
        while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
            await asyncio.sleep(0.01)
    yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    await serving


async def test_a_head_that_does_not_end_ends_the_connection(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(header_limit, "HEADER_TIMEOUT_S", 0.1)
    for head in (b"", b"GET / HTTP/1.1\r\nHost: te"):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(head)
        assert await asyncio.wait_for(_rest(reader), 60) == b""
        writer.close()


async def test_requests_one_after_the_other_are_answered_and_the_next_slow_one_is_not(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for _ in range(2):
        writer.write(REQUEST)
        assert (await asyncio.wait_for(reader.readuntil(b"here"), 60)).startswith(b"HTTP/1.1 200")
    monkeypatch.setattr(header_limit, "HEADER_TIMEOUT_S", 0.1)
    writer.write(REQUEST[:20])
    assert await asyncio.wait_for(_rest(reader), 60) == b""
    writer.close()


async def _rest(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.read()
    except ConnectionResetError:
        return b""
