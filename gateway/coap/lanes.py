"""What the lanes of the CoAP port expect of one another."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from gateway.coap.exchange import Exchange, Peer
from gateway.coap.message import Message, Request
from gateway.coap.refusal import Refusal
from gateway.coap.remote import Vouched


class Port(Protocol):
    """The socket, and what the fast lane does for requests in the clear."""

    def send(self, datagram: bytes, peer: Peer) -> None: ...

    def refuse(self, exchange: Exchange, refusal: Refusal, now: float) -> None: ...

    def head(self, exchange: Exchange) -> bytes:
        """Of a 2.04: everything up to its token."""
        ...


class SlowLane(Protocol):
    """Takes the requests that need state of their own."""

    def serves(self, path: list[bytes]) -> bool: ...

    def has_room(self, address: int) -> bool: ...

    def awaits(self, peer: Peer, message_id: int) -> bool: ...

    def receive(self, datagram: bytes, peer: Peer, address: int, verified: bool) -> None: ...

    def receive_vouched(
        self, datagram: bytes, peer: Peer, address: int, vouched: Vouched, send: Callable[[bytes, Peer], None]
    ) -> None:
        """What came protected, in the clear; answers leave by `send`, which protects them."""
        ...


class ProtectedLane(Protocol):
    """Takes the requests that OSCORE protects."""

    def receive(
        self, option: bytes, ciphertext: bytes, datagram: bytes, exchange: Exchange, shown: str, passed: bool
    ) -> None: ...


class Conversations(Protocol):
    """Takes requests of clients that the server talks to by itself, and their answers and notifications."""

    def serves(self, path: list[bytes]) -> bool: ...

    def request(
        self, message: Message, request: Request, datagram: bytes, peer: Peer, address: int, now: float, passed: bool
    ) -> Refusal | None:
        """A request for a path that it `serves`; a refusal is the caller's to send."""
        ...

    def answer(self, message: Message, datagram: bytes, peer: Peer, address: int, passed: bool) -> bool:
        """Anything but a request; False when it belongs to no conversation."""
        ...
