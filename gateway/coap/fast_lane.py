"""The CoAP port: reads every datagram, answers reports of one datagram itself and gives the rest to the slow lane.

With several processes on the port, requests for the slow lane go to the process that owns their device (`siblings`).

Shortcoming: on a machine with several addresses an answer leaves from the one that routing picks; where that matters,
bind `host` to the address meters are told.
"""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import structlog

from gateway.coap import message as coap
from gateway.coap.exchange import Exchange, Peer, command_payload, make_exchange
from gateway.coap.lanes import Conversations, ProtectedLane, SlowLane
from gateway.coap.message import Malformed, Message, Request
from gateway.coap.oscore.option import OSCORE, read_protected
from gateway.coap.peers import SecurePeer, door_of, source_of, vouched
from gateway.coap.port import Hosts
from gateway.coap.refusal import FORMATS, Refusal, answer_message, is_report_path, refusal_of, too_large
from gateway.coap.refusal_notes import RefusalNotes
from gateway.coap.short_report import read_short_report
from gateway.coap.siblings import Passed, Siblings
from gateway.intake import Intake
from gateway.metrics import Counters
from gateway.refusals import RefusalLimiter
from gateway.strangers import Strangers
from metering.commands import WaitingCommand
from metering.errors import AdmissionError, CustodyError

DATAGRAMS_PER_TURN = 256
"""Read before the event loop may do something else."""

MAX_OPTION_BYTES = 512
"""Room for header, token and options above the payload; a datagram that needs more is cut and gets 4.13."""

BLOCK_BYTES = 1024
DEFECT_LOG_PAUSE_S = 10.0
_CHANGED_ACKS = [bytes((coap.VERSION << 6 | coap.ACK << 4 | token_bytes, coap.CHANGED)) for token_bytes in range(9)]
_NON_BITS = coap.VERSION << 6 | coap.NON << 4
_log = structlog.get_logger()


class Limits(NamedTuple):
    max_payload_bytes: int
    retry_after_s: int


class FastLane:
    """Owns the socket. `start` hooks it into the running loop; nothing here awaits."""

    def __init__(
        self,
        bound: socket.socket,
        intake: Intake,
        limiter: RefusalLimiter,
        counters: Counters,
        limits: Limits,
        clock: Callable[[], float],
        siblings: Siblings | None = None,
        strangers: Strangers | None = None,
    ) -> None:
        self._socket, self._intake, self._limiter, self._counters = bound, intake, limiter, counters
        self._clock, self._siblings = clock, siblings
        self._max_payload_bytes = limits.max_payload_bytes
        self._slow: SlowLane | None = None
        self._protected: ProtectedLane | None = None
        self._conversations: Conversations | None = None
        self._hosts = Hosts()
        self._buffer_bytes = max(limits.max_payload_bytes, BLOCK_BYTES) + MAX_OPTION_BYTES
        self._message_id = random.getrandbits(16)  # section 4.4 wants variety
        self._next_defect_log = float("-inf")
        self._notes = RefusalNotes(Strangers() if strangers is None else strangers)
        self._max_age = (coap.MAX_AGE, coap.uint(limits.retry_after_s))

    def start(
        self,
        slow: SlowLane | None = None,
        protected: ProtectedLane | None = None,
        conversations: Conversations | None = None,
    ) -> None:
        self._slow, self._protected, self._conversations = slow, protected, conversations
        asyncio.get_running_loop().add_reader(self._socket.fileno(), self._read)
        if self._siblings is not None:
            self._siblings.start(self.receive)

    def stop_reading(self) -> None:
        """Answers can still be sent."""
        asyncio.get_running_loop().remove_reader(self._socket.fileno())
        if self._siblings is not None:
            self._siblings.stop_reading()

    def send(self, datagram: bytes, peer: Peer) -> None:
        """Send or lose: a full socket buffer is the network's loss, and the peer will retransmit."""
        try:
            if isinstance(peer, SecurePeer):
                peer.send(datagram, peer)
            else:
                self._socket.sendto(datagram, peer)
        except OSError:
            self._counters.send_failures += 1

    def _read(self) -> None:
        before = self._counters.datagrams
        self._read_datagrams()
        self._counters.turns.observe(self._counters.datagrams - before)

    def _read_datagrams(self) -> None:
        receive, handle, counters = self._socket.recvfrom, self._datagram, self._counters
        buffer_bytes, now = self._buffer_bytes, self._clock()
        for _ in range(DATAGRAMS_PER_TURN):
            try:
                datagram, peer = receive(buffer_bytes)
            except BlockingIOError:
                return
            except OSError:
                counters.ignored["socket"] += 1
                continue
            counters.datagrams += 1
            try:
                handle(datagram, peer, now)
            except Exception:
                self._defect(datagram, now)

    def receive(self, datagram: bytes, peer: Peer) -> None:
        """One from a sibling or out of a secure session: checked like any other, and never passed on."""
        now = self._clock()
        try:
            self._datagram(datagram, peer, now, passed=True)
        except Exception:
            self._defect(datagram, now)

    def _defect(self, datagram: bytes, now: float) -> None:
        """A defect met by one datagram must not close the port for all others, nor fill the disk with its traces."""
        self._counters.ignored["defect"] += 1
        if now >= self._next_defect_log:
            self._next_defect_log = now + DEFECT_LOG_PAUSE_S
            _log.exception("a datagram met a defect", datagram=datagram[:64].hex())

    def _datagram(self, datagram: bytes, peer: Peer, now: float, passed: bool = False) -> None:
        """The usual report is read in one go; everything else, and what is to be refused, takes the general way."""
        short = read_short_report(datagram)
        if short is not None:
            kind, echo_end, device, content_format, payload = short
            if (
                content_format in FORMATS
                and len(payload) <= self._max_payload_bytes
                and len(datagram) < self._buffer_bytes
            ):
                address, shown = self._hosts.read(peer[0])
                exchange = make_exchange((kind, datagram[2:echo_end], peer, address, len(datagram)))
                self._report(device, content_format, payload, exchange, shown, now)
                return
        if (
            self._protected is not None
            and len(datagram) < self._buffer_bytes
            and (protected := read_protected(datagram)) is not None
        ):
            kind, echo_end, option, ciphertext = protected
            address, shown = self._hosts.read(peer[0])
            exchange = make_exchange((kind, datagram[2:echo_end], peer, address, len(datagram)))
            self._protected.receive(option, ciphertext, datagram, exchange, shown, passed)
            return
        parsed = coap.parse(datagram)
        if parsed is None:
            self._counters.ignored["not_coap"] += 1
            return
        address, shown = self._hosts.read(peer[0])
        if parsed.__class__ is Malformed:
            self._reject(parsed, address, peer, f"malformed_{parsed.reason}", now)
            return
        assert isinstance(parsed, Message)  # noqa: S101 - the third outcome, for the type checker
        if parsed.type > coap.NON or not 0 < parsed.code < 32:
            self._no_request(parsed, address, peer, datagram, now, passed)
            return
        exchange = Exchange(parsed.type, datagram[2 : 4 + len(parsed.token)], peer, address, len(datagram))
        self._request(parsed, exchange, shown, datagram, now, passed)

    def _no_request(
        self, message: Message, address: int, peer: Peer, datagram: bytes, now: float, passed: bool
    ) -> None:
        """RFC 7252 section 4.3: a ping (an empty CON) and a CON nobody waits for get a reset, all else silence."""
        talks = self._conversations if len(datagram) < self._buffer_bytes else None  # what was cut is no answer
        if talks is not None and talks.answer(message, datagram, peer, address, passed):
            return
        if message.type == coap.CON:
            self._reject(message, address, peer, "ping" if message.code == coap.EMPTY else "no_request", now)
            return
        if message.type > coap.NON:
            if self._slow is not None and self._slow.awaits(peer, message.message_id):
                self._slow.receive(datagram, peer, address, verified=False)
                return
            siblings = None if passed else self._siblings
            if siblings is not None and (owner := siblings.owner_for(peer)) is not None:
                siblings.pass_on(owner, datagram, peer)
                return
        self._counters.ignored["no_request"] += 1

    def _reject(self, message: Message | Malformed, address: int, peer: Peer, reason: str, now: float) -> None:
        """Section 4.2: what cannot be processed is reset when it is confirmable and ignored otherwise."""
        self._counters.ignored[reason] += 1
        if message.type != coap.CON:
            return
        if self._limiter.allow(address, now):
            self._counters.answers["RST"] += 1
            self.send(bytes((coap.VERSION << 6 | coap.RST << 4, 0)) + message.message_id.to_bytes(2, "big"), peer)
        else:
            self._counters.silenced += 1

    def _request(
        self, message: Message, exchange: Exchange, shown: str, datagram: bytes, now: float, passed: bool
    ) -> None:
        request = coap.read_request(message.options)
        # Outside the protection only the host is of interest; blocks there are refused like the option itself.
        is_protected = request.bad_option == OSCORE and request.block1 is None and len(datagram) < self._buffer_bytes
        if self._protected is not None and is_protected:
            option = next(value for number, value in message.options if number == OSCORE)
            self._protected.receive(option, message.payload, datagram, exchange, shown, passed)
            return
        refusal = refusal_of(message, request, self._max_payload_bytes)
        if refusal is None and len(datagram) == self._buffer_bytes:
            refusal = too_large(self._max_payload_bytes)
        if refusal is not None:
            self.refuse(exchange, refusal, now)
        elif is_report_path(request.path) and request.block1 is None:
            self._report(request.path[1], request.content_format or 0, message.payload, exchange, shown, now)
        elif (talks := self._conversations) is not None and talks.serves(request.path):
            refusal = talks.request(message, request, datagram, exchange.peer, exchange.address, now, passed)
            if refusal is not None:
                self.refuse(exchange, refusal, now)
        else:
            self._give_to_slow_lane(request, exchange, shown, datagram, now, passed)

    def _report(
        self, device: bytes, content_format: int, payload: bytes, exchange: Exchange, shown: str, now: float
    ) -> None:
        """The hot path: a report in one datagram."""
        try:
            name, peer = device.decode("utf-8", "replace"), exchange.peer
            authentication = vouched(self._intake, name, peer, exchange.address)
            self._intake.take(
                door_of(authentication), name, exchange.address, source_of(shown, peer), content_format, payload,
                partial(self._settled, exchange), authentication,
            )  # fmt: skip
        except AdmissionError as error:
            self.refuse(exchange, self._refusal(error, error.reason), now)
            self._notes.note(error, device, shown, now)
        except CustodyError as error:
            self._settled(exchange, error)

    def _settled(self, exchange: Exchange, failure: CustodyError | None, command: WaitingCommand | None = None) -> None:
        """Answer a sender that was authenticated; it is told of back pressure without a limit."""
        if failure is not None:
            self._counters.refused[failure.label] += 1
            self._answer(exchange, self._refusal(failure, failure.label))
            return
        self._counters.reports_answered += 1
        said = b"" if command is None else command_payload(command)
        self.send(self.head(exchange) + said, exchange.peer)

    def head(self, exchange: Exchange) -> bytes:
        """Of a 2.04: everything up to its token."""
        kind, echo, _, _, _ = exchange
        if kind == coap.CON:
            # Section 5.2.1: the answer rides on the acknowledgement and repeats its message ID and token.
            return _CHANGED_ACKS[len(echo) - 2] + echo
        first = bytes((_NON_BITS | len(echo) - 2, coap.CHANGED))
        return first + self._next_message_id().to_bytes(2, "big") + echo[2:]

    def _give_to_slow_lane(
        self, request: Request, exchange: Exchange, shown: str, datagram: bytes, now: float, passed: bool
    ) -> None:
        """Here or in the process that owns it, unless it serves no such path, the sender had its share, or it is
        full."""
        slow, is_report, secure = self._slow, is_report_path(request.path), isinstance(exchange.peer, SecurePeer)
        if slow is None or not (is_report or slow.serves(request.path)):
            self.refuse(exchange, Refusal(coap.NOT_FOUND, "path"), now)
            return
        if is_report:
            try:
                name = request.path[1].decode("utf-8", "replace")
                self._intake.admit(name, exchange.address, vouched(self._intake, name, exchange.peer, exchange.address))
            except AdmissionError as error:
                self.refuse(exchange, self._refusal(error, error.reason), now)
                self._notes.note(error, request.path[1], shown, now)
                return
        elif not secure and not self._limiter.allow(exchange.address, now):
            self._counters.silenced += 1
            return
        if not passed and self._passed_on(request, exchange, datagram, now):
            return
        if slow.has_room(exchange.address):
            self._counters.slow_lane += 1
            slow.receive(datagram, exchange.peer, exchange.address, verified=is_report or secure)
        else:
            self.refuse(exchange, Refusal(coap.SERVICE_UNAVAILABLE, "slow_lane_full", self._max_age), now)

    def _passed_on(self, request: Request, exchange: Exchange, datagram: bytes, now: float) -> bool:
        """Whether this request is another process's and was dealt with."""
        siblings = self._siblings
        if siblings is None:
            return False
        key = request.path[1] if is_report_path(request.path) else exchange.address.to_bytes(16, "big")
        owner = siblings.owner_of(key)
        if owner == siblings.worker:
            return False
        if siblings.pass_on(owner, datagram, exchange.peer) is Passed.AWAY:
            self.refuse(exchange, Refusal(coap.SERVICE_UNAVAILABLE, "owner_away", self._max_age), now)
        return True

    def _refusal(self, error: AdmissionError | CustodyError, reason: str) -> Refusal:
        code = coap.code_of(error.coap)
        return Refusal(code, reason, self._max_age if code == coap.SERVICE_UNAVAILABLE else None)

    def refuse(self, exchange: Exchange, refusal: Refusal, now: float) -> None:
        """Refuse a sender nobody vouches for, within the share of its source prefix."""
        self._counters.refused[refusal.reason] += 1
        if refusal.code == coap.BAD_OPTION and exchange.type == coap.NON:
            return  # section 5.4.1: an unknown critical option in a NON "MUST cause the message to be rejected"
        if self._limiter.allow(exchange.address, now):
            self._answer(exchange, refusal)
        else:
            self._counters.silenced += 1

    def _answer(self, exchange: Exchange, refusal: Refusal) -> None:
        if exchange.type == coap.CON:
            kind, message_id = coap.ACK, int.from_bytes(exchange.echo[:2], "big")
        else:
            kind, message_id = coap.NON, self._next_message_id()
        self._counters.answers[coap.code_name(refusal.code)] += 1
        self.send(answer_message(refusal, kind, message_id, exchange.echo[2:], exchange.bytes), exchange.peer)

    def _next_message_id(self) -> int:
        self._message_id = (self._message_id + 1) & 0xFFFF
        return self._message_id
