"""Ends the sessions of meters whose key is gone.

nats-server asks about a login once; a connection that is open would last until its token expires. Every gateway ends
the session when it has applied the change itself: one that was a moment behind, and let the meter in once more, is
behind with this, too.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Collection, Iterable, Sequence

import structlog

from gateway.mqtt.endpoints import Endpoint
from gateway.mqtt.probe import end_session
from gateway.mqtt.topics import HOLDER_ID
from metering.credentials import Credential, CredentialKind
from metering.errors import UnavailableError

MAX_WAITING = 10_000
"""Further ones end when their token expires, at most `mqtt.session_s` later."""
AT_ONCE = 4
ATTEMPTS = 3
PAUSE_S = 1.0

_log = structlog.get_logger()


class Endings:
    def __init__(self, endpoints: Sequence[Endpoint], context: ssl.SSLContext | None) -> None:
        self._endpoints, self._context = endpoints, context
        self._waiting: asyncio.Queue[str] = asyncio.Queue(MAX_WAITING)
        self.ended = 0

    def keys_gone(self, names: Collection[str], gone: Iterable[Credential]) -> None:
        """The device of these names has lost these keys. Its client id is any name of its or a key's user name: see
        `gateway.mqtt.logins`."""
        users = [key.key_id.decode("utf-8", "replace") for key in gone if key.kind is CredentialKind.MQTT]
        if not users:
            return
        for client_id in {*names, *users} - {"", HOLDER_ID}:
            try:
                self._waiting.put_nowait(client_id)
            except asyncio.QueueFull:
                _log.warning("mqtt_sessions_end_late", client_id=client_id)
                return

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(self._end_one_after_another())

    async def _end_one_after_another(self) -> None:
        while True:
            await self._end(await self._waiting.get())

    async def _end(self, client_id: str) -> None:
        for attempt in range(ATTEMPTS):
            endpoint = self._endpoints[attempt % len(self._endpoints)]
            try:
                await end_session(endpoint, client_id, self._context)
            except UnavailableError as error:
                _log.warning("mqtt_session_not_ended", client_id=client_id, error=str(error))
                await asyncio.sleep(PAUSE_S)
            else:
                self.ended += 1
                return
