"""Strangers who connect and say nothing, on a real port with TLS."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from deploy.cluster.bed import certificates
from gateway.push import port as port_module
from gateway.push.http import Connections
from gateway.push.port import Port
from gateway.push.products import Host, host_of
from metering.errors import StartError
from tests.gateway.conftest import until
from tests.gateway.push.test_http import Handler, answer_on, post

pytestmark = pytest.mark.skipif(not certificates.available(), reason="openssl is not installed")


class Opened:
    def __init__(self, folder: Path) -> None:
        certificates.make(folder, {"server": "127.0.0.1"})
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "server.pem", folder / "server.key")
        self.client = ssl.create_default_context(cafile=str(folder / "ca.pem"))
        self.connections = Connections(Handler(), 5, asyncio.get_running_loop().time)
        self.welcome = True
        self.port = Port(self.connections, context, self.may_come)
        self.port.open("127.0.0.1", 0)
        self.accepting = asyncio.create_task(self.port.accept())

    def may_come(self, host: Host) -> bool:
        return self.welcome

    async def push(self) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port.number, ssl=self.client)
        writer.write(post(b"one"))
        answer = await answer_on(reader)
        writer.close()
        return answer

    async def plain(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port.number)


@pytest.fixture
async def opened(tmp_path: Path) -> AsyncIterator[Opened]:
    made = Opened(tmp_path / "tls")
    yield made
    made.accepting.cancel()
    await asyncio.gather(made.accepting, return_exceptions=True)
    made.port.close()


async def test_those_who_never_shake_hands_are_few(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(port_module, "HANDSHAKE_S", 2.0)
    silent = [await opened.plain() for _ in range(port_module.MAX_HANDSHAKES_OF_HOST + 20)]

    async def turned_away() -> bool:
        return opened.port.turned_away == 20

    await until(turned_away)

    async def gone() -> bool:
        return opened.port.failed_handshakes == port_module.MAX_HANDSHAKES_OF_HOST

    await until(gone)
    assert await opened.push() == b"HTTP/1.1 200 OK"
    for _, writer in silent:
        writer.close()


async def test_what_is_no_tls_is_closed(opened: Opened) -> None:
    reader, writer = await opened.plain()
    writer.write(post(b"plain"))
    with contextlib.suppress(ConnectionResetError):
        await asyncio.wait_for(reader.read(), 20)
    assert await opened.push() == b"HTTP/1.1 200 OK"
    assert opened.port.failed_handshakes == 1
    writer.close()


async def test_who_may_not_come_is_closed_before_a_word(opened: Opened) -> None:
    opened.welcome = False
    reader, writer = await opened.plain()
    with contextlib.suppress(ConnectionResetError):
        assert await asyncio.wait_for(reader.read(), 20) == b""
    assert opened.port.turned_away == 1
    writer.close()


async def test_a_port_that_is_taken_is_said(opened: Opened) -> None:
    with pytest.raises(StartError, match="cannot be opened"):
        Port(opened.connections, None, opened.may_come).open("127.0.0.1", opened.port.number)


def test_mapped_addresses_are_ipv4() -> None:
    assert [str(host_of(text)) for text in ("::ffff:10.0.0.1", "fe80::1%eth0")] == ["10.0.0.1", "fe80::1"]
