"""The meter that speaks DTLS, against a server of the same library (the gateway's own tests drive the rest)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from mbedtls.tls import (
    DTLSConfiguration,
    HandshakeStep,
    HelloVerifyRequest,
    ServerContext,
    WantReadError,
    WantWriteError,
)

from simulators.dtls import SUITE, DtlsClient, DtlsMeter, HandshakeError
from simulators.exchange import Fate, Timers

KEY = b"0123456789abcdef"
CONTEXT = ServerContext(
    DTLSConfiguration(pre_shared_key_store={"meter": KEY}, ciphers=(SUITE,), validate_certificates=False)
)


class Server(asyncio.DatagramProtocol):
    """One session at a time; answers every request that it opens with 2.04, but the first `deaf` of them."""

    def __init__(self, deaf: int = 0) -> None:
        self._buffer, self._deaf = CONTEXT.wrap_buffers(), deaf
        self._transport: Any = None

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        buffer = self._buffer
        buffer.setcookieparam(repr(addr).encode())
        buffer.receive_from_network(data)
        try:
            while buffer._handshake_state is not HandshakeStep.HANDSHAKE_OVER:
                try:
                    buffer.do_handshake()
                except WantWriteError:
                    self._flush(addr)
            if plaintext := buffer.read(2048):
                if self._deaf:
                    self._deaf -= 1
                    return
                buffer.write(bytes((0x64, 0x44)) + plaintext[2:8])
        except WantReadError:
            pass
        except HelloVerifyRequest:
            self._flush(addr)
            self._buffer = CONTEXT.wrap_buffers()
            return
        self._flush(addr)

    def _flush(self, addr: Any) -> None:
        if out := self._buffer.peek_outgoing(4096):
            self._buffer.consume_outgoing(len(out))
            self._transport.sendto(out, addr)


async def serve(deaf: int = 0) -> tuple[asyncio.DatagramTransport, int]:
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: Server(deaf), local_addr=("127.0.0.1", 0)
    )
    return transport, transport.get_extra_info("sockname")[1]


async def test_posts_over_one_session_and_repeats_what_was_lost() -> None:
    transport, port = await serve(deaf=1)
    async with DtlsMeter("127.0.0.1", port, "meter", KEY, Timers(ack_timeout_s=0.5)) as meter:
        for _ in range(3):
            answer = await meter.post(("r", "1"), 42, b"report")
            assert (answer.fate, answer.code) == (Fate.ANSWERED, 0x44)
        assert meter.handshakes == 1
    transport.close()


async def test_nobody_there() -> None:
    transport, port = await serve()
    transport.close()
    async with DtlsMeter("127.0.0.1", port, "meter", KEY, Timers(ack_timeout_s=0.02)) as meter:
        with pytest.raises(HandshakeError):
            await meter.post(("r", "1"), 42, b"report")


def test_a_client_begins_with_a_hello_and_ignores_garbage() -> None:
    client = DtlsClient("meter", KEY)
    client.proceed()
    (hello,) = client.outgoing
    assert (hello[0], hello[13]) == (22, 1)
    assert client.receive(b"garbage") == b""
    assert not client.is_open
