"""LwM2M within OSCORE (RFC 8613): the same server, to which each client is a secure peer of its own.

What a client asks comes by the lane of protected requests and is answered through it. What the server asks is sealed
here, and the answers, which have no kid, are known by their token: what this process asked it remembers, what another
or an earlier one observed is in the registration. A notification is no retransmission's twin by its Partial IV: it goes
through the replay window of its context, as a request of the client would, and is marked there once it is acknowledged.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple, TypeVar

from gateway.coap import message as coap
from gateway.coap.behind_oscore import BehindOscore, Protected, Send
from gateway.coap.exchange import Peer
from gateway.coap.lanes import Conversations, SlowLane
from gateway.coap.lwm2m.exchange import reset
from gateway.coap.lwm2m.lane import Lwm2mLane
from gateway.coap.lwm2m.tokens import Token, read_token
from gateway.coap.message import Message, Request
from gateway.coap.oscore.answers import AnswerMemory, Usual
from gateway.coap.oscore.asking import Asked, Asking, Opened
from gateway.coap.oscore.contexts import Contexts
from gateway.coap.oscore.option import OSCORE
from gateway.coap.oscore.windows import Seen
from gateway.coap.peers import SecurePeer
from gateway.coap.refusal import Refusal, answer_message
from gateway.coap.remote import Vouched
from gateway.coap.siblings import Passed, Siblings
from gateway.metrics import Readings
from metering.errors import UnavailableError
from metering.model import Authentication

MAX_CALLS = 4096
"""Requests of clients whose answers have not left, and notifications that are not acknowledged; the oldest go."""

MAX_CLIENTS = 65_536
"""Addresses at which a client was heard, about 400 bytes each: acknowledgements and resets are not protected."""

MAX_LOOKING = 1024
"""Answers whose registration is being read; further ones get silence and come again."""

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")


class Notification(NamedTuple):
    """A confirmable one that is on its way into custody. `window` and `sequence`: where its Partial IV is marked."""

    window: int
    sequence: int
    datagram: bytes


class ProtectedClients:
    """`want_numbers` is called after each use of a Partial IV of ours."""

    def __init__(
        self, contexts: Contexts, lane: Lwm2mLane, talks: Conversations, send: Send, siblings: Siblings | None,
        want_numbers: Callable[[], None],
    ) -> None:  # fmt: skip
        self._contexts, self._means, self._talks, self._send = contexts, lane.means, talks, send
        self._siblings, self._want_numbers, self._allows = siblings, want_numbers, lane.allows
        self._asking = Asking(contexts.ring, contexts.numbers)
        self._answers = AnswerMemory()
        self._calls: OrderedDict[tuple[Peer, bytes], Send] = OrderedDict()
        self._arriving: OrderedDict[tuple[Peer, int], Notification] = OrderedDict()
        self._clients: OrderedDict[Peer, SecurePeer] = OrderedDict()
        self._looking: set[asyncio.Task[None]] = set()

    # What a client asks

    def request(
        self, message: Message, request: Request, datagram: bytes, peer: Peer, address: int, who: Vouched, send: Send
    ) -> None:
        """In the clear; `send` protects the answer."""
        client = self._client(peer, who)
        _keep(self._calls, (peer, message.token), send, MAX_CALLS)
        refusal = self._talks.request(message, request, datagram, client, address, self._means.clock(), passed=True)
        if refusal is not None:
            kind = coap.ACK if message.type == coap.CON else coap.NON
            send(answer_message(refusal, kind, message.message_id, message.token, len(datagram)), peer)

    def _client(self, peer: Peer, who: Vouched) -> SecurePeer:
        made = SecurePeer(
            peer[0], peer[1], peer, who.device, who.kid.hex(), Authentication.OSCORE, self._protect, self._bound
        )  # fmt: skip
        _keep(self._clients, peer, made, MAX_CLIENTS)
        return made

    # What the server says

    def _protect(self, datagram: bytes, client: SecurePeer) -> None:
        """An answer goes by the request that it answers, an empty message as it is, a request under a number of ours;
        without one it is as if the network had lost it."""
        code, peer = datagram[1], client.address
        if code == coap.EMPTY:
            self._mark(self._arriving.pop((peer, int.from_bytes(datagram[2:4], "big")), None))
            self._send(datagram, peer)
        elif code < 32:
            sealed = self._asking.seal(datagram, client.device, bytes.fromhex(client.identity))
            self._want_numbers()
            if sealed is not None:
                self._send(sealed, peer)
        elif (send := self._calls.get((peer, datagram[4 : 4 + (datagram[0] & 15)]))) is not None:
            send(datagram, peer)

    def _bound(self, token: bytes) -> bytes:
        asked = self._asking.asked(token)
        return b"" if asked is None else asked.number

    def _mark(self, notification: Notification | None) -> None:
        """It is in custody: from now on only its retransmissions are taken."""
        if notification is None:
            return
        window, sequence, datagram = notification
        self._contexts.windows.mark(window, sequence)
        if self._contexts.journal is not None:
            self._contexts.journal.note(window)
            self._contexts.journal.flush()
        self._answers.remember(datagram, Usual.SLOW, self._means.clock())

    # What a client answers and notifies

    def at(self, peer: Peer) -> SecurePeer | None:
        return self._clients.get(peer)

    def answer(self, message: Message, datagram: bytes, peer: Peer, address: int, passed: bool) -> bool:
        """A response with the OSCORE option; False when it is none to this server."""
        token = read_token(message.token)
        if token is None or message.code < 64:
            return False
        asked = self._asking.asked(message.token)
        if asked is not None:
            self._take(message, datagram, peer, address, asked)
        elif not passed and self._passed_on(datagram, peer):
            return True
        elif not token.is_observation:
            self._refuse(message, peer)  # an answer to a request that is over
        elif len(self._looking) >= MAX_LOOKING or not self._allows(address, self._means.clock()):
            self._means.counters.ignored["lwm2m_busy"] += 1
        else:
            work = self._look(token, message, datagram, peer, address, passed)
            task = asyncio.get_running_loop().create_task(work, name="lwm2m in OSCORE")
            self._looking.add(task)
            task.add_done_callback(self._looking.discard)
        return True

    def _passed_on(self, datagram: bytes, peer: Peer, owner: int | None = None) -> bool:
        """To the process of the context, by whom this peer's requests went to or by `owner`."""
        siblings = self._siblings
        if siblings is None:
            return False
        owner = siblings.owner_for(peer) if owner is None else owner
        if owner is None or owner == siblings.worker:
            return False
        return siblings.pass_on(owner, datagram, peer) is not Passed.AWAY

    async def _look(
        self, token: Token, message: Message, datagram: bytes, peer: Peer, address: int, passed: bool
    ) -> None:
        """A notification of what another process, or an earlier one, observes."""
        try:
            record = await self._means.store.get(token.registration_id)
        except UnavailableError:
            return  # a confirmable one comes again
        number = b"" if record is None else record.bound.get(token.number, b"")
        if record is None or not record.kid or not number:
            self._refuse(message, peer)
        elif passed or not self._passed_on(datagram, peer, self._owner(record.kid)):
            self._take(message, datagram, peer, address, Asked(record.device, record.kid, number))

    def _owner(self, kid: bytes) -> int | None:
        return None if self._siblings is None else self._siblings.owner_of(kid)

    def _refuse(self, message: Message, peer: Peer) -> None:
        if message.type == coap.CON:
            self._send(reset(message.message_id), peer)

    def _take(self, message: Message, datagram: bytes, peer: Peer, address: int, asked: Asked) -> None:
        opened = self._asking.open(message, asked)
        token = read_token(message.token)
        if opened is None or token is None:
            self._means.counters.ignored["oscore_answer"] += 1
            return
        if token.is_observation and asked.answered and not self._is_new(opened, datagram, peer):
            self._means.counters.ignored["oscore_notification_replayed"] += 1
            return
        self._asking.answered(message.token)
        client = self._client(peer, Vouched(asked.device, Authentication.OSCORE, asked.kid))
        self._talks.answer(opened.message, datagram, client, address, True)

    def _is_new(self, opened: Opened, datagram: bytes, peer: Peer) -> bool:
        """Whether this notification was not taken before, or is a retransmission of one that was and is acknowledged
        again. A context without a window has to ask for one by a request of its own."""
        if self._answers.recall(datagram, self._means.clock()) is not None:
            return True
        windows, sequence = self._contexts.windows, int.from_bytes(opened.number, "big")
        window = windows.find(opened.context.fingerprint)
        if not opened.number or windows.look(window, sequence) is not Seen.NO:
            return False
        notification = Notification(window, sequence, datagram)
        if opened.message.type == coap.CON:
            _keep(self._arriving, (peer, opened.message.message_id), notification, MAX_CALLS)
        else:
            self._mark(notification)
        return True

    def gauges(self) -> Readings:
        """For /metrics."""
        return {
            "lwm2m_oscore_asked": ("Protected requests of ours remembered", lambda: len(self._asking)),
            "lwm2m_oscore_calls": ("Protected LwM2M requests whose way back is kept", lambda: len(self._calls)),
            "lwm2m_oscore_arriving": ("Protected notifications not acknowledged", lambda: len(self._arriving)),
            "lwm2m_oscore_clients": ("Addresses of LwM2M clients within OSCORE", lambda: len(self._clients)),
            "lwm2m_oscore_looking": ("Protected notifications looked into", lambda: len(self._looking)),
        }

    def stop(self) -> None:
        for task in self._looking:
            task.cancel()


def _keep(table: OrderedDict[_Key, _Value], key: _Key, value: _Value, limit: int) -> None:
    table.pop(key, None)
    if len(table) >= limit:
        table.popitem(last=False)
    table[key] = value


class Lwm2mBehindOscore(BehindOscore):
    """LwM2M requests of clients that OSCORE vouches for."""

    def __init__(self, clients: ProtectedClients, lane: Lwm2mLane, others: SlowLane) -> None:
        super().__init__(lane, others)
        self._clients = clients

    def take(self, asked: Protected) -> None:
        self._clients.request(*asked)


class ProtectedOnPort:
    """Answers that OSCORE protects, and the acknowledgements and resets of those who give them, which it does not; all
    else goes on to `others`. See `gateway.coap.lanes.Conversations`."""

    def __init__(self, clients: ProtectedClients, others: Conversations) -> None:
        self._clients, self._others = clients, others

    def serves(self, path: list[bytes]) -> bool:
        return self._others.serves(path)

    def request(
        self, message: Message, request: Request, datagram: bytes, peer: Peer, address: int, now: float, passed: bool
    ) -> Refusal | None:
        return self._others.request(message, request, datagram, peer, address, now, passed)

    def answer(self, message: Message, datagram: bytes, peer: Peer, address: int, passed: bool) -> bool:
        if message.code == coap.EMPTY:
            client = self._clients.at(peer) if message.type >= coap.ACK else None
            if client is not None and self._others.answer(message, datagram, client, address, True):
                return True
        elif any(number == OSCORE for number, _ in message.options):
            return self._clients.answer(message, datagram, peer, address, passed)
        return self._others.answer(message, datagram, peer, address, passed)
