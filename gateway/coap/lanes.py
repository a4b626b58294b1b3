"""What the fast lane, which owns the socket, expects of those it gives datagrams to."""

from __future__ import annotations

from typing import Any, Protocol

from gateway.coap.message import Message, Request
from gateway.coap.refusal import Refusal

Peer = tuple[Any, ...]
"""A socket address as `recvfrom` returns it."""


class SlowLane(Protocol):
    """Takes the requests that need state of their own."""

    def serves(self, path: list[bytes]) -> bool: ...

    def has_room(self, address: int) -> bool: ...

    def awaits(self, peer: Peer, message_id: int) -> bool: ...

    def receive(self, datagram: bytes, peer: Peer, address: int, verified: bool) -> None: ...


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
