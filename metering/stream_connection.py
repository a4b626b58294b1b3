"""How every program connects to the stream: with its own inboxes, and again and again for as long as it runs."""

from __future__ import annotations

from typing import Any

import structlog
from nats.aio.client import Client

log = structlog.get_logger()

RECONNECT_WAIT_S = 0.5
PENDING_BYTES = 16 * 1024 * 1024


def inbox_prefix(program: str) -> str:
    """Inboxes only this program may subscribe to, so that no other reads its answers."""
    return f"_INBOX_{program}"


async def connect(url: str, program: str, **options: Any) -> Client:
    """A connection that outlives the server: it reconnects forever. `options` go to nats-py's `Client.connect`.

    `url` may list several servers with commas. The first connection must succeed; the caller retries it.
    """
    client = Client()

    async def disconnected() -> None:
        if not client.is_closed:  # it is called too when this side closes
            log.warning("stream_disconnected")

    async def reconnected() -> None:
        log.info("stream_reconnected")

    async def failed(error: Exception) -> None:
        log.warning("stream_error", error=type(error).__name__, detail=str(error))

    defaults: dict[str, Any] = {
        "name": f"nbwater-{program}",
        "inbox_prefix": inbox_prefix(program).encode(),
        "max_reconnect_attempts": -1,
        "reconnect_time_wait": RECONNECT_WAIT_S,
        "pending_size": PENDING_BYTES,
        "disconnected_cb": disconnected,
        "reconnected_cb": reconnected,
        "error_cb": failed,
    }
    await client.connect(url.split(","), **(defaults | options))
    return client
