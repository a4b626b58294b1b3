"""Requests that OSCORE protected, for lanes that stand before the aiocoap lane.

Such a lane takes what it serves of the protected requests; everything else goes on to `others`, which may be another
such lane. See `gateway.coap.lanes.SlowLane`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import NamedTuple, Protocol

from gateway.coap import message as coap
from gateway.coap.exchange import Peer
from gateway.coap.lanes import SlowLane
from gateway.coap.message import Message, Request
from gateway.coap.remote import Vouched

Send = Callable[[bytes, Peer], None]


class Serving(Protocol):
    def serves(self, path: list[bytes]) -> bool: ...


class Protected(NamedTuple):
    """A request in the clear, and who asked. Answers leave by `send`, which protects them."""

    message: Message
    request: Request
    datagram: bytes
    peer: Peer
    address: int
    vouched: Vouched
    send: Send


class BehindOscore(ABC):
    """Gives `take` what `lane` serves."""

    def __init__(self, lane: Serving, others: SlowLane) -> None:
        self._serving, self._others = lane, others

    @abstractmethod
    def take(self, asked: Protected) -> None:
        """A request for a path that the lane serves."""

    def serves(self, path: list[bytes]) -> bool:
        return self._serving.serves(path) or self._others.serves(path)

    def has_room(self, address: int) -> bool:
        return self._others.has_room(address)

    def awaits(self, peer: Peer, message_id: int) -> bool:
        return self._others.awaits(peer, message_id)

    def receive(self, datagram: bytes, peer: Peer, address: int, verified: bool) -> None:
        self._others.receive(datagram, peer, address, verified)

    def receive_vouched(self, datagram: bytes, peer: Peer, address: int, vouched: Vouched, send: Send) -> None:
        message = coap.parse(datagram)
        if isinstance(message, Message):
            request = coap.read_request(message.options)
            if self._serving.serves(request.path):
                self.take(Protected(message, request, datagram, peer, address, vouched, send))
                return
        self._others.receive_vouched(datagram, peer, address, vouched, send)
