"""The TCP port of the pushes: accepts, shakes hands, and bounds both.

A server of asyncio counts a connection only after its TLS handshake; a stranger who never finishes one would be free to
use up the process's files. So connections are counted from the moment they are accepted.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections import Counter
from collections.abc import Callable

import structlog

from gateway.push.http import Connections
from gateway.push.products import Host, host_of
from metering.errors import StartError

BACKLOG = 256
HANDSHAKE_S = 10.0
MAX_HANDSHAKES = 128
MAX_HANDSHAKES_OF_HOST = 32
PAUSE_S = 0.1
"""After a failed accept: there are no files left, for a moment."""

_log = structlog.get_logger()


class Port:
    """`may_come`: whether any product could push from there; asked before a word is said."""

    def __init__(self, connections: Connections, tls: ssl.SSLContext | None, may_come: Callable[[Host], bool]) -> None:
        self._connections, self._tls, self._may_come = connections, tls, may_come
        self._socket: socket.socket | None = None
        self._shaking: Counter[Host] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()
        self.turned_away = self.failed_handshakes = 0

    @property
    def number(self) -> int:
        return int(self._socket.getsockname()[1]) if self._socket is not None else 0

    def open(self, host: str, port: int) -> None:
        """Raises StartError."""
        try:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            self._socket = socket.create_server(
                (host, port), family=family, backlog=BACKLOG, dualstack_ipv6=host == "::"
            )  # fmt: skip
        except OSError as error:
            raise StartError(f"push.port {host}:{port} cannot be opened: {error.strerror or error}") from error
        self._socket.setblocking(False)

    async def accept(self) -> None:
        """Until cancelled."""
        assert self._socket is not None  # noqa: S101 - `open` comes first, for the type checker
        loop = asyncio.get_running_loop()
        while True:
            try:
                accepted, peer = await loop.sock_accept(self._socket)
            except OSError as error:
                _log.warning("push_not_accepted", error=str(error))
                await asyncio.sleep(PAUSE_S)
                continue
            host = host_of(str(peer[0]))
            if not self._has_room(host):
                self.turned_away += 1
                accepted.close()
                continue
            self._shaking[host] += 1
            task = asyncio.create_task(self._shake_hands(accepted, host))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def close(self) -> None:
        """Accept no more. `accept` must have been cancelled."""
        if self._socket is not None:
            self._socket.close()

    def _has_room(self, host: Host) -> bool:
        return (
            self._shaking.get(host, 0) < MAX_HANDSHAKES_OF_HOST
            and self._shaking.total() < MAX_HANDSHAKES
            and self._may_come(host)
        )

    async def _shake_hands(self, accepted: socket.socket, host: Host) -> None:
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                self._connections.make,
                accepted,
                ssl=self._tls,
                ssl_handshake_timeout=HANDSHAKE_S if self._tls else None,
            )
        except (OSError, EOFError):  # ssl.SSLError and TimeoutError among them
            self.failed_handshakes += 1
            accepted.close()
        finally:
            self._shaking[host] -= 1
            if not self._shaking[host]:
                del self._shaking[host]
