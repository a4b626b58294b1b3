"""A meter that speaks CoAP over DTLS 1.2 with a pre-shared key: the client's side, over python-mbedtls.

`DtlsClient` is bytes in, bytes out; `DtlsMeter` gives it a socket and sends one confirmable request at a time, as a
meter does. Beside the session a meter keeps nothing: when it hears nothing for a whole exchange it shakes hands anew.

Shortcoming: Mbed TLS's timers read the machine's clock.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

from mbedtls.exceptions import TLSError
from mbedtls.tls import (
    ClientContext,
    DTLSConfiguration,
    DTLSVersion,
    HandshakeStep,
    TLSWrappedBuffer,
    WantReadError,
    WantWriteError,
)

from simulators import message
from simulators.exchange import Answer, Fate, Timers
from simulators.message import HEAD, Message, Type

SUITE = "TLS-PSK-WITH-AES-128-CCM-8"
"""What LwM2M and RFC 7925 demand of devices."""

MAX_DATAGRAM_BYTES = 4096
HANDSHAKE_TRIES = 5


class HandshakeError(Exception):
    """The server refused the key, or did not answer."""


class DtlsClient:
    """One session, from its first ClientHello on. `outgoing` is what has to be sent next, a datagram each."""

    def __init__(
        self, identity: str, key: bytes, suites: Sequence[str] = (SUITE,), first_timeout_s: float = 2.0
    ) -> None:
        configuration = DTLSConfiguration(
            pre_shared_key=(identity, key),
            ciphers=tuple(suites),
            lowest_supported_version=DTLSVersion.DTLSv1_2,
            validate_certificates=False,
            handshake_timeout_min=first_timeout_s,
        )
        self._buffer: TLSWrappedBuffer = ClientContext(configuration).wrap_buffers(None)
        self.outgoing: list[bytes] = []
        self.is_open = False

    def proceed(self) -> None:
        """Begin the handshake, go on with it, or repeat what got no answer. Raises HandshakeError."""
        try:
            while _step(self._buffer) is not HandshakeStep.HANDSHAKE_OVER:
                try:
                    self._buffer.do_handshake()
                except WantWriteError:
                    self._collect()
            self.is_open = True
        except WantReadError:
            pass
        except TLSError as error:
            raise HandshakeError(str(error)) from error
        finally:
            self._collect()

    def receive(self, datagram: bytes) -> bytes:
        """The plaintext of a datagram; empty when it had none. Raises HandshakeError, also when the server ends the
        session."""
        self._buffer.receive_from_network(datagram)
        if not self.is_open:
            self.proceed()
            return b""
        try:
            return self._buffer.read(MAX_DATAGRAM_BYTES)
        except WantReadError:
            return b""
        except TLSError as error:
            self.is_open = False
            raise HandshakeError(str(error)) from error
        finally:
            self._collect()

    def send(self, plaintext: bytes) -> None:
        self._buffer.write(plaintext)
        self._collect()

    def close(self) -> None:
        """Tell the server that no more will come."""
        if self.is_open:
            self.is_open = False
            self._buffer.shutdown()
            self._collect()

    def _collect(self) -> None:
        if datagram := self._buffer.peek_outgoing(MAX_DATAGRAM_BYTES):
            self._buffer.consume_outgoing(len(datagram))
            self.outgoing.append(datagram)


def _step(buffer: TLSWrappedBuffer) -> object:
    """python-mbedtls offers it only under a private name; its own sockets use it."""
    return buffer._handshake_state


class DtlsMeter:
    """`async with DtlsMeter(host, port, identity, key) as meter`: `post` as often as wanted."""

    def __init__(self, host: str, port: int, identity: str, key: bytes, timers: Timers | None = None) -> None:
        self._host, self._port, self._identity, self._key = host, port, identity, key
        self._timers = timers or Timers()
        self._client: DtlsClient | None = None
        self._transport: asyncio.DatagramTransport | None = None
        self._message_id = random.randrange(1 << 16)  # noqa: S311 - not a secret: a simulator plays the meter
        self.handshakes = self.sent = self.sent_bytes = self.received_bytes = 0

    async def __aenter__(self) -> Self:
        self._received: asyncio.Queue[bytes] = asyncio.Queue()
        await self.rebind()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Without a word: meters sleep, they do not say goodbye."""
        if self._transport is not None:
            self._transport.close()

    async def rebind(self) -> None:
        """From now on another source port, as after a NAT's timeout; the session stays."""
        if self._transport is not None:
            self._transport.close()
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_datagram_endpoint(
            lambda: _Inbox(self._received), remote_addr=(self._host, self._port)
        )

    async def shake_hands(self) -> None:
        """A new session, whatever there was. Raises HandshakeError."""
        client = self._client = DtlsClient(self._identity, self._key, first_timeout_s=self._timers.ack_timeout_s)
        self.handshakes += 1
        for _ in range(HANDSHAKE_TRIES * 4):
            client.proceed()
            self._flush()
            if client.is_open:
                return
            try:
                async with asyncio.timeout(self._timers.ack_timeout_s * 1.1):
                    client.receive(await self._receive())
            except TimeoutError:
                continue
            finally:
                self._flush()
            if client.is_open:
                return
        raise HandshakeError("no answer")

    async def post(self, path: Sequence[str], content_format: int | None, payload: bytes) -> Answer:
        """A confirmable POST, after a handshake where there is no session. Raises HandshakeError."""
        if self._client is None or not self._client.is_open:
            await self.shake_hands()
        self._message_id = self._message_id + 1 & 0xFFFF
        token = random.randrange(1 << 32)  # noqa: S311 - not a secret: a simulator plays the meter
        head = HEAD.pack(message.first_byte(Type.CON), message.POST, self._message_id, token)
        answer = await self._exchange(head + message.request_tail(path, content_format, payload), token)
        if answer is None:
            self._client = None
            return Answer(Fate.UNKNOWN, message.EMPTY, b"")
        fate = {2: Fate.ANSWERED, 4: Fate.REFUSED}.get(answer.code >> 5, Fate.UNKNOWN)
        return Answer(fate, answer.code, answer.payload)

    async def _exchange(self, datagram: bytes, token: int) -> Message | None:
        """RFC 7252 section 4.2; each retransmission is a record of its own."""
        timeout_s = self._timers.ack_timeout_s
        for _ in range(self._timers.max_retransmit + 1):
            assert self._client is not None  # noqa: S101 - `post` made one, for the type checker
            self._client.send(datagram)
            self._flush()
            try:
                async with asyncio.timeout(timeout_s):
                    while True:
                        answer = self._read(await self._receive())
                        if answer is not None and answer.token == token.to_bytes(message.TOKEN_BYTES, "big"):
                            return answer
            except TimeoutError:
                timeout_s *= 2
            except HandshakeError:
                return None
        return None

    def _read(self, datagram: bytes) -> Message | None:
        assert self._client is not None  # noqa: S101 - see `_exchange`
        plaintext = self._client.receive(datagram)
        self._flush()
        try:
            return message.decode(plaintext) if plaintext else None
        except message.MessageFormatError:
            return None

    async def _receive(self) -> bytes:
        datagram = await self._received.get()
        self.received_bytes += len(datagram)
        return datagram

    def _flush(self) -> None:
        client = self._client
        for datagram in client.outgoing if client else ():
            self.sent += 1
            self.sent_bytes += len(datagram)
            if self._transport is not None:
                self._transport.sendto(datagram)
        if client:
            client.outgoing.clear()


class _Inbox(asyncio.DatagramProtocol):
    def __init__(self, received: asyncio.Queue[bytes]) -> None:
        self._received = received

    def datagram_received(self, data: bytes, addr: Any) -> None:  # noqa: ARG002 - asyncio names it so
        self._received.put_nowait(data)
