"""The handshake: what the rest of the door wants of a DTLS library, and Mbed TLS 2.28 (python-mbedtls) as that library.

Mbed TLS decides who is authenticated; it leaves when the handshake is over. Another library takes its place by offering
`Engine` and `Handshake`. See docs/decisions/0016-dtls.md.

Shortcomings: its timers read the machine's clock, not ours; the suites with CBC are left out; a key has at most 32
bytes (MBEDTLS_PSK_MAX_LEN).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from enum import Enum
from typing import Any, NamedTuple, Protocol

from mbedtls.exceptions import TLSError
from mbedtls.tls import (
    DTLSConfiguration,
    DTLSVersion,
    HandshakeStep,
    HelloVerifyRequest,
    ServerContext,
    TLSWrappedBuffer,
    WantReadError,
    WantWriteError,
)

from gateway.dtls.key_schedule import KEY_BYTES, SUITES
from gateway.dtls.records import read_records
from gateway.dtls.session import EPOCH, Session, SessionState, Speaker
from gateway.dtls.transcript import Transcript

FIRST_TIMEOUT_S, LAST_TIMEOUT_S = 9.0, 60.0
"""RFC 7925 section 11 of networks as slow as NB-IoT; doubled at each retransmission."""

MAX_FLIGHT_BYTES = 16_384
_BEFORE_THE_VERDICT: frozenset[object] = frozenset((
    HandshakeStep.HELLO_REQUEST, HandshakeStep.CLIENT_HELLO, HandshakeStep.SERVER_HELLO,
    HandshakeStep.SERVER_HELLO_VERIFY_REQUEST_SENT,
))  # fmt: skip
"""While Mbed TLS has not said whether a ClientHello's cookie is good."""


class Psk(NamedTuple):
    speaker: Speaker
    key: bytes


KeyOf = Callable[[str, str], Psk | None]
"""The key of an identity that speaks from a host. Raises nothing."""

Peer = tuple[Any, ...]
"""A socket address as `recvfrom` returns it."""


class State(Enum):
    OPEN = "open"
    DONE = "done"
    FAILED = "failed"


class Handshake(Protocol):
    """One peer's, whose address is proven."""

    state: State
    host: str
    identity: str | None
    """As the client said it, once it has; nobody has proven it before DONE."""

    def begin(self) -> bytes:
        """Records of the first flight."""
        ...

    def receive(self, datagram: bytes) -> bytes:
        """Records to send."""
        ...

    def tick(self) -> bytes:
        """Records to repeat because nothing came. To be called about once a second."""
        ...

    def session(self) -> Session | None:
        """Once DONE."""
        ...


class Engine(Protocol):
    def greet(self, datagram: bytes, peer: Peer) -> tuple[bytes, Handshake | None]:
        """A ClientHello from `peer`: records to send (a HelloVerifyRequest, for which nothing is kept), or, when its
        cookie shows that it comes from there, the handshake, to be begun."""
        ...


class MbedTlsEngine:
    """See `Engine`. An unknown identity goes on with a random key and fails as a wrong key does: RFC 4279 section 2
    allows it, and strangers do not learn who exists."""

    def __init__(self, key_of: KeyOf) -> None:
        self._keys = _Keys(key_of)
        configuration = DTLSConfiguration(
            pre_shared_key_store=self._keys,
            ciphers=tuple(suite.name for suite in SUITES.values()),
            lowest_supported_version=DTLSVersion.DTLSv1_2,
            validate_certificates=False,
            handshake_timeout_min=FIRST_TIMEOUT_S,
            handshake_timeout_max=LAST_TIMEOUT_S,
        )
        self._context = ServerContext(configuration)
        self._gate = self._context.wrap_buffers()

    def greet(self, datagram: bytes, peer: Peer) -> tuple[bytes, Handshake | None]:
        """See `Engine`."""
        gate, sent = self._gate, b""
        gate.setcookieparam(repr(peer[:2]).encode())
        gate.receive_from_network(datagram)
        try:
            while _step(gate) in _BEFORE_THE_VERDICT:
                try:
                    gate.do_handshake()
                except WantWriteError:
                    sent += _outgoing(gate)
        except HelloVerifyRequest:
            return sent + _outgoing(gate), None  # the gate is as new again
        except TLSError:
            self._gate = self._context.wrap_buffers()
            return sent + _outgoing(gate), None
        self._gate = self._context.wrap_buffers()
        return b"", _MbedTlsHandshake(gate, self._keys, datagram, str(peer[0]))


class _MbedTlsHandshake:
    """See `Handshake`."""

    def __init__(self, buffer: TLSWrappedBuffer, keys: _Keys, hello: bytes, host: str) -> None:
        self.state, self.host = State.OPEN, host
        self.identity: str | None = None
        self._buffer, self._keys = buffer, keys
        self._transcript = Transcript()
        self._transcript.client_sent(hello)
        self._psk: Psk | None = None
        self._protected_sent, self._farewell = 0, b""

    def begin(self) -> bytes:
        return self._proceed()

    def receive(self, datagram: bytes) -> bytes:
        self._transcript.client_sent(datagram)
        self._buffer.receive_from_network(datagram)
        return self._proceed()

    def tick(self) -> bytes:
        return self._proceed()

    def session(self) -> Session | None:
        if self.state is not State.DONE or self._psk is None:
            return None
        keys = self._transcript.keys(self._psk.key)
        return keys and Session(self._psk.speaker, SessionState(*keys, self._protected_sent), self._farewell)

    def _proceed(self) -> bytes:
        sent, buffer, self._keys.asking = b"", self._buffer, self
        try:
            while _step(buffer) is not HandshakeStep.HANDSHAKE_OVER:
                try:
                    buffer.do_handshake()
                except WantWriteError:
                    sent += _outgoing(buffer)
            self.state = State.DONE
        except WantReadError:
            pass
        except TLSError:
            self.state = State.FAILED
        sent += _outgoing(buffer)
        self._transcript.server_sent(sent)
        self._protected_sent += sum(record.epoch == EPOCH for record in read_records(sent))
        self._farewell = sent
        return sent

    def told(self, identity: str, psk: Psk | None) -> None:
        self.identity, self._psk = identity, psk


class _Keys(Mapping[str, bytes]):
    """Mbed TLS looks an identity up while it works on one handshake: `asking`."""

    def __init__(self, key_of: KeyOf) -> None:
        self._key_of = key_of
        self.asking: _MbedTlsHandshake | None = None

    def __getitem__(self, identity: str) -> bytes:
        asking = self.asking
        if asking is None:
            raise KeyError(identity)
        psk = self._key_of(identity, asking.host)
        asking.told(identity, psk)
        return os.urandom(KEY_BYTES) if psk is None else psk.key

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 1


def _outgoing(buffer: TLSWrappedBuffer) -> bytes:
    stream = buffer.peek_outgoing(MAX_FLIGHT_BYTES)
    buffer.consume_outgoing(len(stream))
    return stream


def _step(buffer: TLSWrappedBuffer) -> object:
    """The one thing that python-mbedtls offers only under a private name; its own sockets use it."""
    return buffer._handshake_state
