"""Where a client is, and what vouches for it: what a door that carries CoAP gives with each message. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from gateway.coap.peers import SecurePeer, source_of
from metering.model import Authentication


class Vouched(NamedTuple):
    """A door has authenticated the sender as this device (canonical name). `kid`: of its key, where OSCORE did."""

    device: str
    authentication: Authentication
    kid: bytes = b""


class Remote(Protocol):
    """A client's end of a conversation. Equal remotes are one client at one place; `send` reaches it there."""

    @property
    def address(self) -> int:
        """128 bits, IPv4 mapped."""
        ...

    @property
    def shown(self) -> str:
        """Address and port as text, distinct for each remote."""
        ...

    @property
    def vouched(self) -> Vouched | None:
        """None on the plain port, where the address decides."""
        ...

    def __hash__(self) -> int: ...

    def send(self, datagram: bytes) -> None: ...

    def bound(self, token: bytes) -> bytes:
        """See `gateway.coap.peers.SecurePeer`."""
        ...


class UdpRemote:
    """A peer of the CoAP port, or of a secure session below it."""

    __slots__ = ("_send", "address", "peer", "shown", "vouched")

    def __init__(
        self, peer: tuple[Any, ...], address: int, host: str, send: Callable[[bytes, tuple[Any, ...]], None]
    ) -> None:
        self.peer, self.address, self.shown, self._send = peer, address, source_of(host, peer), send
        self.vouched = _vouched(peer) if isinstance(peer, SecurePeer) else None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, UdpRemote) and self.peer == other.peer

    def __hash__(self) -> int:
        return hash(self.peer)

    def send(self, datagram: bytes) -> None:
        self._send(datagram, self.peer)

    def bound(self, token: bytes) -> bytes:
        return self.peer.bound(token) if isinstance(self.peer, SecurePeer) else b""


def _vouched(peer: SecurePeer) -> Vouched:
    kid = bytes.fromhex(peer.identity) if peer.authentication is Authentication.OSCORE else b""
    return Vouched(peer.device, peer.authentication, kid)
