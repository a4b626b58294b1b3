"""The connection to NATS: made with patience, kept for ever, and known to be up or down at any time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import nats.errors
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js import JetStreamContext

from metering.stream_connection import connect

LOG_PAUSE_S = 10.0
RETRY_PAUSE_S = 0.5
MAX_PENDING = 10_000

_log = structlog.get_logger()


class StreamLink:
    """`connected` is set while the server is there; `js` may be used only after it was."""

    def __init__(self) -> None:
        self.connected = asyncio.Event()
        self.reconnects = 0
        self._client: Client | None = None
        self._js: JetStreamContext | None = None
        self._next_log = 0.0

    @property
    def js(self) -> JetStreamContext:
        if self._js is None:
            raise nats.errors.ConnectionClosedError
        return self._js

    async def connect(self, url: str, tls_ca: str = "") -> None:
        """Returns once connected; tries for ever, saying so every few seconds."""
        while self._client is None:
            try:
                self._client = await connect(
                    url,
                    "gateway",
                    tls_ca,
                    error_cb=self._on_error,
                    disconnected_cb=self._on_disconnected,
                    reconnected_cb=self._on_reconnected,
                )
            except (nats.errors.Error, OSError, TimeoutError) as error:
                await self._on_error(error)
                await asyncio.sleep(RETRY_PAUSE_S)
        self._js = self._client.jetstream()
        self.connected.set()

    async def tell(self, subject: str, body: bytes) -> None:
        """Told and forgotten; never for what must arrive. Raises ConnectionClosedError before the first connection."""
        if self._client is None:
            raise nats.errors.ConnectionClosedError
        await self._client.publish(subject, body)

    async def listen(
        self, subject: str, told: Callable[[Msg], Awaitable[None]], queue: str = "", max_pending: int = MAX_PENDING
    ) -> None:
        """Call `told` with each message on `subject`, also after reconnections; with `queue` one listener of each.
        Beyond `max_pending` waiting ones further ones are dropped. Raises ConnectionClosedError before the first
        connection."""
        if self._client is None:
            raise nats.errors.ConnectionClosedError
        await self._client.subscribe(subject, queue, told, pending_msgs_limit=max_pending)

    async def close(self) -> None:
        self.connected.clear()
        if self._client is not None and not self._client.is_closed:
            await self._client.close()

    async def _on_error(self, error: Exception) -> None:
        if time.monotonic() >= self._next_log:
            self._next_log = time.monotonic() + LOG_PAUSE_S
            _log.warning("NATS cannot be reached or objects; trying again", error=repr(error))

    async def _on_disconnected(self) -> None:
        if self.connected.is_set():  # not when this side closes
            self.connected.clear()
            _log.warning("NATS is away")

    async def _on_reconnected(self) -> None:
        self.reconnects += 1
        self.connected.set()
        _log.info("NATS is back", reconnects=self.reconnects)
