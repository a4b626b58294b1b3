"""What a handshake said in the clear, as far as its keys depend on it (RFC 7627 section 4). Pure.

The library that does the handshake does not give its keys away. They follow from the pre-shared key, which is ours, and
from the messages, which pass through our hands: whoever lacks the key learns nothing from reading this.
"""

from __future__ import annotations

from gateway.dtls.key_schedule import SUITES, extended_master_secret, key_block, master_secret
from gateway.dtls.records import (
    CLIENT_HELLO,
    CLIENT_KEY_EXCHANGE,
    SERVER_HELLO,
    SERVER_HELLO_DONE,
    SERVER_KEY_EXCHANGE,
    Fragment,
    message_bytes,
    read_client_hello,
    read_fragments,
    read_records,
    read_server_hello,
)

MAX_BODY_BYTES = 2048
"""A ClientHello has some hundred bytes, a ClientKeyExchange the identity and two more."""

_OF_CLIENT = frozenset((CLIENT_HELLO, CLIENT_KEY_EXCHANGE))
_OF_SERVER = frozenset((SERVER_HELLO, SERVER_KEY_EXCHANGE, SERVER_HELLO_DONE))


class Transcript:
    """The messages of one handshake, each once, in the order in which they were completed."""

    def __init__(self) -> None:
        self._bodies: dict[int, bytes] = {}
        self._messages = b""
        self._parts: dict[int, bytearray] = {}

    def client_sent(self, datagram: bytes) -> None:
        self._read(datagram, _OF_CLIENT)

    def server_sent(self, stream: bytes) -> None:
        self._read(stream, _OF_SERVER)

    def keys(self, psk: bytes) -> tuple[int, bytes] | None:
        """Suite and key block; None when the handshake was not seen as far as that."""
        client = read_client_hello(self._bodies.get(CLIENT_HELLO, b""))
        server = read_server_hello(self._bodies.get(SERVER_HELLO, b""))
        if client is None or server is None or CLIENT_KEY_EXCHANGE not in self._bodies or server.suite not in SUITES:
            return None
        if server.extended_master_secret:
            master = extended_master_secret(psk, self._messages)
        else:
            master = master_secret(psk, client.random, server.random)
        return server.suite, key_block(master, client.random, server.random)

    def _read(self, datagram: bytes, wanted: frozenset[int]) -> None:
        for record in read_records(datagram):
            for fragment in read_fragments(record):
                if fragment.type in wanted and fragment.type not in self._bodies:
                    self._take(fragment)

    def _take(self, fragment: Fragment) -> None:
        if fragment.length > MAX_BODY_BYTES:
            return
        if len(fragment.body) < fragment.length:
            # Parts come in order from every client seen; others make it repeat the flight.
            part = self._parts.setdefault(fragment.type, bytearray())
            if fragment.offset > len(part):
                return
            part[fragment.offset :] = fragment.body
            if len(part) < fragment.length:
                return
            body = bytes(part)
        else:
            body = fragment.body
        self._bodies[fragment.type] = body
        self._messages += message_bytes(fragment, body)
