"""The LwM2M lane on the plain CoAP port: each conversation in the process that owns its device (DESIGN section 3.9)."""

from __future__ import annotations

from collections.abc import Callable

from gateway.coap import message as coap
from gateway.coap.exchange import Peer
from gateway.coap.lanes import SlowLane
from gateway.coap.lwm2m.lane import Lwm2mLane
from gateway.coap.message import Message, Request
from gateway.coap.port import Hosts
from gateway.coap.refusal import Refusal, too_large
from gateway.coap.remote import UdpRemote
from gateway.coap.siblings import Passed, Siblings

MAX_REGISTRATION_BYTES = 16 * 1024
"""Of all blocks: a client with 256 object instances needs a quarter of it."""

_RESERVED_SZX = 7


class Lwm2mOnUdp:
    """See `gateway.coap.lanes.Conversations`."""

    def __init__(
        self, lane: Lwm2mLane, slow: SlowLane, send: Callable[[bytes, Peer], None], siblings: Siblings | None
    ) -> None:
        self._lane, self._slow, self._send, self._siblings = lane, slow, send, siblings
        self._hosts = Hosts()

    def serves(self, path: list[bytes]) -> bool:
        return self._lane.serves(path)

    def request(
        self, message: Message, request: Request, datagram: bytes, peer: Peer, address: int, now: float, passed: bool
    ) -> Refusal | None:
        if request.block1 is not None and (refusal := self._block_refusal(request.block1, len(message.payload))):
            return refusal
        if not passed and self._passed_on(self._request_owner(message, request, peer), datagram, peer):
            return None
        remote = self._remote(peer)
        if request.block1 is None:
            self._lane.request(message, request.path, request.content_format, datagram, remote, now)
        elif not self._slow.has_room(address):
            return Refusal(coap.SERVICE_UNAVAILABLE, "slow_lane_full")
        elif self._lane.allows(address, now):
            self._slow.receive(datagram, peer, address, verified=False)
        return None

    def _request_owner(self, message: Message, request: Request, peer: Peer) -> int | None:
        if self._siblings is None:
            return None
        key = self._lane.owner_key(request.path, message)
        return self._siblings.owner_for(peer) if key is None else self._siblings.owner_of(key)

    def _answer_owner(self, message: Message, remote: UdpRemote) -> int | None:
        """Where the conversation is, and if nobody here knows, where it belongs."""
        if self._siblings is None or self._lane.is_here(message, remote):
            return None
        owner = self._siblings.owner_for(remote.peer)
        if owner is None and (key := self._lane.answer_owner_key(message)) is not None:
            owner = self._siblings.owner_of(key)
        return owner

    def _passed_on(self, owner: int | None, datagram: bytes, peer: Peer) -> bool:
        """An owner that is away leaves its clients to whoever hears them: registrations are in the store."""
        siblings = self._siblings
        if siblings is None or owner is None or owner == siblings.worker:
            return False
        return siblings.pass_on(owner, datagram, peer) is not Passed.AWAY

    def _block_refusal(self, block1: int, payload_bytes: int) -> Refusal | None:
        number, szx = block1 >> 4, block1 & 7
        if szx == _RESERVED_SZX:
            return Refusal(coap.BAD_REQUEST, "block_size")
        if (number << (szx + 4)) + payload_bytes > MAX_REGISTRATION_BYTES:
            return too_large(MAX_REGISTRATION_BYTES)
        return None

    def answer(self, message: Message, datagram: bytes, peer: Peer, address: int, passed: bool) -> bool:  # noqa: ARG002 - named as the protocol names it
        if message.type == coap.CON and message.code == coap.EMPTY:
            return False  # a ping
        remote = self._remote(peer)
        if not passed and self._passed_on(self._answer_owner(message, remote), datagram, peer):
            return True
        return self._lane.answer(message, remote)

    def _remote(self, peer: Peer) -> UdpRemote:
        address, shown = self._hosts.read(peer[0])
        return UdpRemote(peer, address, shown, self._send)
