"""A DTLS session around whatever speaks CoAP over UDP: a port of this machine on one side, the server on the other."""

from __future__ import annotations

import asyncio
from collections import Counter
from types import TracebackType
from typing import Any, Self

from simulators.dtls import DtlsClient

HANDSHAKE_S = 60


class Tunnel(asyncio.DatagramProtocol):
    """`async with Tunnel(coaps_port, identity, key) as tunnel`: what is sent to `tunnel.port` of 127.0.0.1 goes through
    one session, and what the server says comes back to whoever sent last."""

    def __init__(self, coaps_port: int, identity: str, key: bytes) -> None:
        self._coaps_port, self._client = coaps_port, DtlsClient(identity, key)
        self._inner: asyncio.DatagramTransport | None = None
        self._outer: asyncio.DatagramTransport | None = None
        self._peer: Any = None
        self._heard = asyncio.Event()
        self.air, self.shaken = Counter[str](), Counter[str]()
        """Bytes of records `up` and `down`: all, and those of the handshake."""

    @property
    def port(self) -> int:
        assert self._inner is not None
        port: int = self._inner.get_extra_info("sockname")[1]
        return port

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._outer, _ = await loop.create_datagram_endpoint(
            lambda: _Side(self._from_server), remote_addr=("127.0.0.1", self._coaps_port)
        )
        async with asyncio.timeout(HANDSHAKE_S):
            while not self._client.is_open:
                self._client.proceed()
                self._flush()
                self._heard.clear()
                try:
                    async with asyncio.timeout(3):
                        await self._heard.wait()
                except TimeoutError:
                    continue
        self.shaken.update(self.air)
        self._inner, _ = await loop.create_datagram_endpoint(
            lambda: _Side(self._from_meter), local_addr=("127.0.0.1", 0)
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for transport in (self._inner, self._outer):
            if transport is not None:
                transport.close()

    def _from_meter(self, data: bytes, address: Any) -> None:
        self._peer = address
        self._client.send(data)
        self._flush()

    def _from_server(self, data: bytes, _address: Any) -> None:
        self.air["down"] += len(data)
        plaintext = self._client.receive(data)
        self._flush()
        self._heard.set()
        if plaintext and self._inner is not None and self._peer is not None:
            self._inner.sendto(plaintext, self._peer)

    def _flush(self) -> None:
        for datagram in self._client.outgoing:
            self.air["up"] += len(datagram)
            if self._outer is not None:
                self._outer.sendto(datagram)
        self._client.outgoing.clear()


class _Side(asyncio.DatagramProtocol):
    def __init__(self, receive: Any) -> None:
        self._receive = receive

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self._receive(data, addr)
