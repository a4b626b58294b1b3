"""An LwM2M meter on the network: one UDP port, retransmission, and a client that answers while it listens."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from simulators import message
from simulators.lwm2m_client import Client
from simulators.message import Message, Type

ACK_TIMEOUT_S = 2.0
MAX_RETRANSMIT = 4


class Lwm2mMeter(asyncio.DatagramProtocol):
    """`async with Lwm2mMeter(host, port, client) as meter`. `sleep` and `wake` play power saving: a sleeping meter
    hears nothing, and its port may be another after `rebind`."""

    def __init__(self, host: str, port: int, client: Client, *, ack_timeout_s: float = ACK_TIMEOUT_S) -> None:
        self._server, self.client, self._ack_timeout_s = (host, port), client, ack_timeout_s
        self._transport: asyncio.DatagramTransport | None = None
        self._waiting: dict[int, asyncio.Future[Message]] = {}
        self._heard = asyncio.Event()
        self._asleep = False
        self.resets = 0

    async def __aenter__(self) -> Self:
        await self._open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._transport is not None:
            self._transport.close()

    async def _open(self) -> None:
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_datagram_endpoint(lambda: self, remote_addr=self._server)

    async def rebind(self, port: int | None = None) -> None:
        """From now on from another port, and perhaps to another server."""
        if self._transport is not None:
            self._transport.close()
        if port is not None:
            self._server = (self._server[0], port)
        await self._open()

    def sleep(self) -> None:
        self._asleep = True

    def wake(self) -> None:
        self._asleep = False

    def datagram_received(self, data: bytes, addr: Any) -> None:  # noqa: ARG002 - named by asyncio
        if self._asleep:
            return
        said = message.decode(data)
        if said.type in (Type.ACK, Type.RST):
            self.resets += said.type == Type.RST
            waiting = self._waiting.get(said.message_id)
            if waiting is not None and not waiting.done():
                waiting.set_result(said)
        answer = self.client.receive(data)
        if answer is not None:
            self.tell(answer)
        self._heard.set()

    def error_received(self, exc: Exception) -> None:
        """The server's port is closed: as on a network, one hears nothing."""

    def tell(self, datagram: bytes) -> None:
        """Send once, as of a NON."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.sendto(datagram)

    async def ask(self, datagram: bytes) -> Message:
        """Send until it is acknowledged or reset; that acknowledgement. Raises TimeoutError in the end."""
        message_id = int.from_bytes(datagram[2:4], "big")
        answer: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self._waiting[message_id] = answer
        timeout_s = self._ack_timeout_s
        try:
            for _ in range(MAX_RETRANSMIT + 1):
                self.tell(datagram)
                done, _ = await asyncio.wait({answer}, timeout=timeout_s)
                if done:
                    return answer.result()
                timeout_s *= 2
        finally:
            del self._waiting[message_id]
        raise TimeoutError("the server does not answer")

    async def until(self, condition: Callable[[Client], object], timeout_s: float = 60) -> None:
        """Wait for what the server does to the client. Raises TimeoutError."""
        async with asyncio.timeout(timeout_s):
            while not condition(self.client):
                self._heard.clear()
                await self._heard.wait()
