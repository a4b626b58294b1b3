"""The slow lane: aiocoap, fed from the fast lane's socket, for everything that needs more than one datagram.

aiocoap keeps a timer and an entry per message for 247 s and has no bound of its own; `has_room` is that bound, and
the fast lane asks it, and the limit of the source's prefix, before aiocoap sees a request.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

import aiocoap
from aiocoap import error as aiocoap_error
from aiocoap import resource
from aiocoap.blockwise import Block1Spool, ContinueException, IncompleteException, _extract_block_key
from aiocoap.interfaces import EndpointAddress
from aiocoap.messagemanager import MessageManager
from aiocoap.numbers import constants
from aiocoap.transports.generic_udp import GenericMessageInterface
from aiocoap.util import hostportjoin

from gateway.coap import message as coap
from gateway.coap.message import code_of
from gateway.coap.peers import Peer, SecurePeer, door_of, source_of, vouched
from gateway.coap.port import Hosts, read_host
from gateway.coap.refusal import AMPLIFICATION, REPORT_PATH
from gateway.coap.remote import Remote, UdpRemote, Vouched
from gateway.intake import Intake
from gateway.refusals import prefix_of
from metering.commands import WaitingCommand
from metering.errors import AdmissionError, CustodyError, NbwaterError
from metering.model import Authentication

MAX_MESSAGES = 8192
"""Requests of the last 247 s that aiocoap remembers (at ~5 kB): 33 a second on average."""

STOP_PATIENCE_S = 1.0
STOP_POLL_S = 0.01
WELL_KNOWN_CORE = (b".well-known", b"core")
CORE_LINKS = b'</r>;rt="nbwater.report";ct="42 50 60"'
"""Short enough for AMPLIFICATION; the devices' own paths below /r are nobody else's business."""

Send = Callable[[bytes, Any], None]


class PeerAddress(EndpointAddress):  # type: ignore[misc]  # aiocoap has no types
    """A peer of the shared socket. Equal addresses are one peer, however many datagrams made them."""

    scheme = "coap"
    is_multicast = False
    is_multicast_locally = False
    maximum_block_size_exp = constants.MAX_REGULAR_BLOCK_SIZE_EXP

    def __init__(
        self,
        peer: tuple[Any, ...],
        request_bytes: int,
        send: Send,
        verified: bool,
        prefix: int = 0,
        vouched: Authentication | None = None,
    ) -> None:
        self.peer, self.prefix, self.vouched = peer, prefix, vouched
        self._request_bytes, self._send, self._verified = request_bytes, send, verified

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PeerAddress) and self.peer == other.peer

    def __hash__(self) -> int:
        return hash(self.peer)

    def __repr__(self) -> str:
        return f"<peer {self.hostinfo}>"

    def send(self, datagram: bytes) -> None:
        """Nothing that grows beyond AMPLIFICATION goes to a peer that may be forged."""
        if self._verified or len(datagram) <= AMPLIFICATION * self._request_bytes:
            self._send(datagram, self.peer)

    @property
    def client(self) -> Remote:
        """The same peer as the rest of the gateway sees it."""
        address, shown = read_host(self.peer[0])
        return UdpRemote(self.peer, address, shown, self._send)

    @property
    def hostinfo(self) -> str:
        return str(hostportjoin(self.peer[0], self.peer[1]))

    @property
    def hostinfo_local(self) -> str:
        return "localhost"  # which of this machine's addresses was used is not known, and nobody is told

    @property
    def uri_base(self) -> str:
        return f"coap://{self.hostinfo}"

    @property
    def uri_base_local(self) -> str:
        return f"coap://{self.hostinfo_local}"

    @property
    def blockwise_key(self) -> tuple[Any, ...]:
        """Blocks of one report belong together whatever port a NAT gave each: the report's path names the device,
        and each block was admitted for it."""
        if isinstance(self.peer, SecurePeer):
            return (self.peer.device,)
        return () if self._verified else self.peer


class _Pool:
    """What GenericMessageInterface wants of a pool of sockets: ours has one, and it belongs to the fast lane."""

    async def shutdown(self) -> None:
        return None

    async def connect(self, address: tuple[str, int]) -> PeerAddress:
        raise aiocoap_error.NetworkError(f"the gateway opens no exchange with {address}")


class SharedSocketInterface(GenericMessageInterface):  # type: ignore[misc]  # aiocoap has no types
    """aiocoap's view of the fast lane's socket."""

    def __init__(self, manager: MessageManager, log: Any, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(manager, log, loop)
        self._pool = _Pool()
        self.manager = manager
        self.recent = manager._recent_messages = RecentMessages()

    async def recognize_remote(self, remote: object) -> bool:
        return isinstance(remote, PeerAddress)


class RecentMessages(dict[tuple[PeerAddress, int], Any]):
    """aiocoap's memory of message IDs and their answers, that knows content as well.

    RFC 7252 section 4.4 forbids a peer to use a message ID anew within 247 s, but a module that wakes from power
    saving starts to count where it always does: another report must not get the answer of the one before it.
    """

    def __init__(self) -> None:
        super().__init__()
        self._contents: dict[tuple[PeerAddress, int], int] = {}
        self.timers = 0
        """Of aiocoap: one for each message of the last 247 s, forgotten ones too."""
        self.by_prefix: Counter[int] = Counter()
        """The same by source prefix; no zeros."""

    def admits(self, key: tuple[PeerAddress, int], datagram: bytes) -> bool:
        """Whether aiocoap may see this request now. A namesake that was answered is forgotten; while a confirmable
        one has no answer yet, the other gets silence and will be sent again."""
        if key not in self or self._contents.get(key) == hash(datagram):
            return True
        if self[key] is None and datagram[0] >> 4 & 3 == coap.CON:
            return False
        del self[key], self._contents[key]
        return True

    def note(self, key: tuple[PeerAddress, int], datagram: bytes) -> None:
        """aiocoap has seen this datagram."""
        if key in self and key not in self._contents:
            self._contents[key] = hash(datagram)
            self.timers += 1
            self.by_prefix[key[0].prefix] += 1

    def pop(self, key: tuple[PeerAddress, int], default: Any = None) -> Any:
        """A timer of aiocoap is over; that its message was forgotten before is no error."""
        self.timers -= 1
        prefix = key[0].prefix
        self.by_prefix[prefix] -= 1
        if not self.by_prefix[prefix]:
            del self.by_prefix[prefix]
        self._contents.pop(key, None)
        return super().pop(key, default)


class BlockSpool(Block1Spool):  # type: ignore[misc]  # aiocoap has no types
    """Blocks of a report until all are there."""

    def feed_and_take(self, req: aiocoap.Message) -> aiocoap.Message:
        """RFC 7959 section 2.9.2: a gap or an overlap gets 4.08, which aiocoap meant and answers 5.00 with a trace.

        The newest block once more, though not from where it came (a retransmission that a NAT gave another port),
        gets the answer it had.
        """
        block1 = req.opt.block1
        if block1 is not None and block1.block_number and self._is_newest(req):
            if block1.more:
                raise ContinueException(block1)
            return self._assemblies[_extract_block_key(req)]
        try:
            return super().feed_and_take(req)
        except ValueError:
            raise IncompleteException from None

    def _is_newest(self, req: aiocoap.Message) -> bool:
        try:
            assembly = self._assemblies[_extract_block_key(req)]
        except KeyError:
            return False
        newest = assembly.opt.block1
        return (newest.block_number, newest.more) == (req.opt.block1.block_number, req.opt.block1.more) and bool(
            assembly.payload.endswith(req.payload)
        )


class CoreResource(resource.Resource):  # type: ignore[misc]  # aiocoap has no types
    """/.well-known/core (RFC 6690)."""

    async def render_get(self, request: aiocoap.Message) -> aiocoap.Message:
        accepted = request.opt.accept
        if accepted is not None and accepted != aiocoap.numbers.ContentFormat.LINKFORMAT:
            return aiocoap.Message(code=aiocoap.NOT_ACCEPTABLE)
        return aiocoap.Message(payload=CORE_LINKS, content_format=aiocoap.numbers.ContentFormat.LINKFORMAT)


class ReportResource(resource.Resource, resource.PathCapable):  # type: ignore[misc]  # aiocoap has no types
    """POST /r/{device} of several blocks. The fast lane has checked path, method, format and size of each."""

    def __init__(self, intake: Intake, retry_after_s: int) -> None:
        super().__init__()
        self._block1 = BlockSpool()
        self._intake, self._retry_after_s = intake, retry_after_s
        self._hosts = Hosts()

    async def render_post(self, request: aiocoap.Message) -> aiocoap.Message:
        loop = asyncio.get_running_loop()
        done: asyncio.Future[tuple[CustodyError | None, WaitingCommand | None]] = loop.create_future()

        def settle(failure: CustodyError | None, command: WaitingCommand | None = None) -> None:
            if not done.done():
                done.set_result((failure, command))

        peer, name = request.remote.peer, request.opt.uri_path[-1]
        address, shown = self._hosts.read(peer[0])
        try:
            authentication = request.remote.vouched or vouched(self._intake, name, peer, address)
            self._intake.take(
                door_of(authentication),
                name,
                address,
                source_of(shown, peer),
                int(request.opt.content_format),
                request.payload,
                settle,
                authentication,
            )
        except (AdmissionError, CustodyError) as error:
            return self._refusal(error)
        failure, command = await done
        if failure is not None:
            return self._refusal(failure)
        if command is None:
            return aiocoap.Message(code=aiocoap.CHANGED)
        content_format = int(command.content_format)
        return aiocoap.Message(code=aiocoap.CHANGED, payload=command.answer(), content_format=content_format)

    def _refusal(self, error: NbwaterError) -> aiocoap.Message:
        code = aiocoap.numbers.codes.Code(code_of(error.coap))
        max_age = self._retry_after_s if code == aiocoap.SERVICE_UNAVAILABLE else None
        return aiocoap.Message(code=code, max_age=max_age)


class AiocoapLane:
    """See `gateway.coap.lanes.SlowLane`."""

    def __init__(
        self,
        intake: Intake,
        retry_after_s: int,
        send: Send,
        max_messages: int = MAX_MESSAGES,
        resources: Iterable[tuple[list[str], resource.Resource]] = (),
    ) -> None:
        self._send, self._max_messages = send, max_messages
        self._site = resource.Site()
        self._site.add_resource([part.decode() for part in WELL_KNOWN_CORE], CoreResource())
        self._site.add_resource([REPORT_PATH.decode()], ReportResource(intake, retry_after_s))
        for path, more in resources:
            self._site.add_resource(path, more)
        self._context: aiocoap.Context | None = None
        self._interface: SharedSocketInterface | None = None

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        context = aiocoap.Context(loop=loop, serversite=self._site, loggername="aiocoap")
        context.log.setLevel(logging.ERROR)  # its warnings are written by whoever sends odd datagrams

        async def interface(manager: MessageManager) -> SharedSocketInterface:
            self._interface = SharedSocketInterface(manager, context.log, loop)
            return self._interface

        await context._append_tokenmanaged_messagemanaged_transport(interface)
        self._context = context

    async def stop(self) -> None:
        """Ends after requests whose outcome is known have their answer, or after STOP_PATIENCE_S."""
        if self._context is not None and self._interface is not None:
            working = self._interface.manager.token_manager.incoming_requests
            give_up_at = time.monotonic() + STOP_PATIENCE_S
            while working and time.monotonic() < give_up_at:  # noqa: ASYNC110 - aiocoap offers no event for it
                await asyncio.sleep(STOP_POLL_S)
            await self._context.shutdown()
            self._context = self._interface = None

    @property
    def messages(self) -> int:
        """Requests aiocoap remembers now."""
        return 0 if self._interface is None else self._interface.recent.timers

    def serves(self, path: list[bytes]) -> bool:
        return tuple(path) == WELL_KNOWN_CORE

    def has_room(self, address: int) -> bool:
        """A source prefix may hold as much as is free: alone half of the bound, and whoever comes finds room."""
        if self._interface is None:
            return False
        recent = self._interface.recent
        return recent.by_prefix[prefix_of(address)] < self._max_messages - recent.timers

    def awaits(self, peer: tuple[Any, ...], message_id: int) -> bool:
        """Whether a confirmable message of ours waits for its acknowledgement or reset."""
        if self._interface is None:
            return False
        exchanges = self._interface.manager._active_exchanges or ()
        return (PeerAddress(peer, 0, self._send, verified=False), message_id) in exchanges

    def receive(self, datagram: bytes, peer: tuple[Any, ...], address: int, verified: bool) -> None:
        self._receive(datagram, PeerAddress(peer, len(datagram), self._send, verified, prefix_of(address)))

    def receive_vouched(self, datagram: bytes, peer: Peer, address: int, vouched: Vouched, send: Send) -> None:
        """A request that came protected, in the clear; its answers leave by `send`, which protects them."""
        prefix = prefix_of(address)
        self._receive(datagram, PeerAddress(peer, len(datagram), send, True, prefix, vouched.authentication))

    def _receive(self, datagram: bytes, remote: PeerAddress) -> None:
        if self._interface is None:
            return
        recent = self._interface.recent
        key = (remote, int.from_bytes(datagram[2:4], "big"))
        if datagram[0] >> 4 & 3 > coap.NON:  # an answer to a message of ours
            self._interface._received_datagram(remote, datagram)
        elif recent.admits(key, datagram):
            self._interface._received_datagram(remote, datagram)
            recent.note(key, datagram)
