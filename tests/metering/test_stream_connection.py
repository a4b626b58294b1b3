"""A connection to several servers leaves one that is silent and one that has no stream, and stays with one that has."""

import asyncio
import random
import secrets
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import nats
import pytest

from deploy.embedded.nats import ADMIN, USERS, NatsServer, binary
from deploy.embedded.ports import free_tcp_port
from metering.errors import SettingsError
from metering.stream_connection import connect
from metering.streams import StreamSizes, ensure

DEADLINE_S = 120


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[Callable[[], NatsServer]]:
    """Starts servers that share their passwords but are no cluster."""
    passwords = {user: secrets.token_hex(8) for user in USERS}
    running: list[NatsServer] = []

    def start() -> NatsServer:
        running.append(NatsServer(tmp_path / str(len(running)), passwords))
        running[-1].start()
        return running[-1]

    yield start
    for server in running:
        if server.process is not None:
            server.process.send_signal(signal.SIGCONT)
        server.stop()


async def with_stream(server: NatsServer) -> None:
    connection = await nats.connect(server.url)
    await ensure(connection.jetstream(), StreamSizes(1 << 20, registry_max_bytes=1 << 20))
    await connection.close()


async def connected_to(client: nats.NATS, port: int) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not (client.is_connected and client.connected_url is not None and client.connected_url.port == port):
        assert time.monotonic() < deadline, f"not connected to port {port} within {DEADLINE_S} s"
        await asyncio.sleep(0.1)


async def test_a_server_that_falls_silent_is_left(servers: Callable[[], NatsServer]) -> None:
    pair = servers(), servers()
    for server in pair:
        await with_stream(server)
    client = await connect(",".join(server.url for server in pair), ADMIN)
    at = client.connected_url.port if client.connected_url else 0
    silent, other = sorted(pair, key=lambda server: server.port != at)
    assert silent.process is not None
    silent.process.send_signal(signal.SIGSTOP)
    await connected_to(client, other.port)
    await client.close()


async def test_a_server_without_stream_is_left(
    servers: Callable[[], NatsServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(random, "shuffle", lambda _: None)  # the bare server comes first
    good, port = servers(), free_tcp_port()
    await with_stream(good)
    bare = await asyncio.create_subprocess_exec(
        binary(), "-a", "127.0.0.1", "-p", str(port), stderr=asyncio.subprocess.DEVNULL
    )
    try:
        url = f"nats://127.0.0.1:{port}"
        while True:
            try:
                await (await nats.connect(url, allow_reconnect=False)).close()
                break
            except (OSError, nats.errors.Error):
                assert bare.returncode is None
                await asyncio.sleep(0.1)
        client = await connect(f"{url},{good.url}", ADMIN)
        assert client.connected_url is not None
        assert client.connected_url.port == port
        await connected_to(client, good.port)
        await client.close()
    finally:
        bare.kill()
        await bare.wait()


async def test_a_certificate_that_cannot_be_read_is_a_wrong_setting(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="tls_ca"):
        await connect("tls://127.0.0.1:1", ADMIN, str(tmp_path / "none.pem"))
