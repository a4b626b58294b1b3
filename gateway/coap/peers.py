"""Peers that something below CoAP vouches for, beside the plain ones, which are socket addresses. Pure."""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType
from typing import Any, NamedTuple, TypeAlias

from gateway.intake import Intake
from metering.errors import UnauthorisedError
from metering.model import Authentication, Door


def unbound(token: bytes) -> bytes:  # noqa: ARG001 - as `SecurePeer.bound`
    """Of sessions that protect a stream of datagrams and not each request by itself."""
    return b""


class SecurePeer(NamedTuple):
    """The other end of a secure session. Begins like a socket address, and can stand wherever one does.

    `device`: the canonical name of the device whose key was proven. `identity`: what it called itself then. `send`
    protects a datagram for this peer and sends it, or loses it like the network when the session is over. `bound`: what
    later answers under the token of a request of ours need to be read, if anything.
    """

    host: str
    port: int
    address: tuple[Any, ...]
    device: str
    identity: str
    authentication: Authentication
    send: Callable[[bytes, SecurePeer], None]
    bound: Callable[[bytes], bytes] = unbound


_PROTECTED = MappingProxyType({Authentication.OSCORE: Door.OSCORE, Authentication.DTLS: Door.DTLS})
Peer: TypeAlias = tuple[Any, ...]
"""A SecurePeer, or a socket address as `recvfrom` returns it."""


def vouched(intake: Intake, name: str, peer: Peer, address: int) -> Authentication | None:
    """What vouches for `peer` as the device that is called `name`; None: nothing but its address.

    Raises UnauthorisedError for a peer that is another device, and what `Intake.admit` raises.
    """
    if not isinstance(peer, SecurePeer):
        return None
    if intake.admit(name, address, peer.authentication) != peer.device:
        raise UnauthorisedError("other_device")
    return peer.authentication


def door_of(authentication: Authentication | None) -> Door:
    """The door of a CoAP report whose sender this vouches for."""
    if authentication is None:  # nearly all, where meters have no keys
        return Door.COAP
    return _PROTECTED.get(authentication, Door.COAP)


def source_of(shown: str, peer: Peer) -> str:
    """Where a report came from, and by which identity: what is kept with it."""
    source = f"{shown}:{peer[1]}"
    return f"{source} as {peer.identity}" if isinstance(peer, SecurePeer) else source
