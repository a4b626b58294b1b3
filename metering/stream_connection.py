"""How every program connects to the stream: with its own inboxes, again and again for as long as it runs, and, where
several servers are named, away from one that has fallen silent.

nats-py notices a server whose host is gone without a word after four minutes, and then waits for unsent bytes to
leave; one that answers but has lost touch with the other servers of its cluster it never leaves. A publish has five
seconds. So beside each connection to a cluster a watch asks the server for a sign of life and the stream for its name.
"""

from __future__ import annotations

import asyncio
import json
import random
import ssl
from typing import Any

import nats.errors
import structlog
from nats.aio.client import Client

from metering.errors import SettingsError
from metering.streams import UP_STREAM

log = structlog.get_logger()

RECONNECT_WAIT_S = 0.5
PENDING_BYTES = 16 * 1024 * 1024

WATCH_EVERY_S = 1.0
PONG_S = 1.0
STREAM_EVERY = 3
"""Looks at the server between two looks at the stream."""
STREAM_S = 2.0
UNAVAILABLE = 503
MISSES = 2
"""So many in a row make a server silent: one may be this process, kept from its event loop."""

_watches: set[asyncio.Task[None]] = set()
"""Running watches, which nobody else holds."""


def inbox_prefix(program: str) -> str:
    """Inboxes only this program may subscribe to, so that no other reads its answers."""
    return f"_INBOX_{program}"


async def connect(url: str, program: str, tls_ca: str = "", **options: Any) -> Client:
    """A connection that outlives the server: it reconnects forever. `options` go to nats-py's `Client.connect`.

    `url` may list several servers with commas; which comes first is left to chance, so that programs spread. `tls_ca`
    is a PEM file: the connection then begins with TLS, and the server must prove its name. The first connection must
    succeed; the caller retries it. Raises SettingsError when the file cannot be used.
    """
    client = Client()

    async def disconnected() -> None:
        if not client.is_closed:  # it is called too when this side closes
            log.warning("stream_disconnected")

    async def reconnected() -> None:
        log.info("stream_reconnected", server=_place(client))

    async def failed(error: Exception) -> None:
        log.warning("stream_error", error=type(error).__name__, detail=str(error))

    defaults: dict[str, Any] = {
        "name": f"nbwater-{program}",
        "inbox_prefix": inbox_prefix(program).encode(),
        "max_reconnect_attempts": -1,
        "reconnect_time_wait": RECONNECT_WAIT_S,
        "dont_randomize": True,  # else the server that was just left may come first again
        "pending_size": PENDING_BYTES,
        "disconnected_cb": disconnected,
        "reconnected_cb": reconnected,
        "error_cb": failed,
    }
    servers = url.split(",")
    random.shuffle(servers)
    await client.connect(servers, **(defaults | _tls_options(tls_ca) | options))
    if len(servers) > 1:
        watch = asyncio.create_task(_watch(client), name="stream watch")
        _watches.add(watch)
        watch.add_done_callback(_watches.discard)
    return client


def _tls_options(tls_ca: str) -> dict[str, Any]:
    """TLS from the first byte: a server's plain greeting, which others could forge, is not waited for."""
    if not tls_ca:
        return {}
    try:
        return {"tls": ssl.create_default_context(cafile=tls_ca), "tls_handshake_first": True}
    except (OSError, ssl.SSLError) as error:
        raise SettingsError(f"nats.tls_ca {tls_ca}: {error}") from error


async def _watch(client: Client) -> None:
    """Leave a server that is silent, or that has no stream behind it, for as long as the connection lives."""
    looks = silent = streamless = 0
    while not client.is_closed:
        await asyncio.sleep(WATCH_EVERY_S)
        if not client.is_connected:
            silent = streamless = 0
            continue
        silent = 0 if await _answers(client) else silent + 1
        looks += 1
        if looks % STREAM_EVERY == 0 and not silent:
            streamless = 0 if await _has_stream(client) else streamless + 1
        if silent >= MISSES or streamless >= MISSES:
            log.warning("stream_server_left", server=_place(client), reason="silent" if silent else "without stream")
            silent = streamless = 0
            _leave(client)


async def _answers(client: Client) -> bool:
    try:
        await client.flush(PONG_S)  # type: ignore[arg-type]  # nats-py says int and takes any number
    except (nats.errors.Error, TimeoutError, OSError):
        return not client.is_connected  # what is being left already is not left again
    return True


async def _has_stream(client: Client) -> bool:
    """A node without a quorum says that JetStream is not available, or nothing."""
    try:
        answer = await client.request(f"$JS.API.STREAM.INFO.{UP_STREAM}", timeout=STREAM_S)
        error = json.loads(answer.data).get("error") or {}
    except (nats.errors.Error, TimeoutError, OSError, ValueError):
        return not client.is_connected
    return error.get("code") != UNAVAILABLE


def _leave(client: Client) -> None:
    """Cut the connection, unsent bytes and all: nats-py finds it closed and takes the next server.

    Its own `force_reconnect` would wait for those bytes to leave, which to a host that is gone they never do.
    """
    transport: Any = client._transport  # no public way to it
    transport._io_writer.transport.abort()


def _place(client: Client) -> str:
    url = client.connected_url
    return url.netloc.rpartition("@")[2] if url else ""
