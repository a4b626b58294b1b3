"""The LwM2M server's way to the CoAP port: requests of one datagram and all answers of clients come in here.

A registration of several blocks comes by the aiocoap lane (`resources`). Doors that authenticate (DTLS, OSCORE) call
`request` and `answer` with a remote of theirs, which says who they vouch for.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping

from gateway.coap import message as coap
from gateway.coap.lwm2m.answers import Answers, Seen
from gateway.coap.lwm2m.means import Means
from gateway.coap.lwm2m.registration import names_of, read_query, registration_id
from gateway.coap.lwm2m.requests import Answer, Inbound
from gateway.coap.lwm2m.server import Lwm2mServer
from gateway.coap.lwm2m.sessions import SWEEP_S
from gateway.coap.lwm2m.tokens import read_token
from gateway.coap.message import Message
from gateway.coap.remote import Remote
from gateway.metrics import Readings
from gateway.refusals import RefusalLimiter

MAX_REMEMBERED = 65_536
"""Answers kept for retransmissions, about 300 bytes each."""

MAX_IN_WORK = 1024
"""Requests that wait for the store or for custody; beyond them 5.03."""

LOCATION_PATH = 8
SERVED = frozenset({b"rd", b"dp", b"bs", b"t"})
"""First segments of the paths that are this server's."""


class Lwm2mLane:
    """`gateway.doors.OpenDoor` without a port of its own."""

    name = "lwm2m"

    def __init__(self, means: Means, retry_after_s: int, workers: int) -> None:
        self.means = means
        self.server = Lwm2mServer(means)
        self._answers = Answers(MAX_REMEMBERED)
        self._limiter = RefusalLimiter(means.settings.requests_per_second / workers)
        self._retry_after_s = retry_after_s
        self._work: set[asyncio.Task[None]] = set()
        self._message_id = random.getrandbits(16)
        self._taking = True

    # What the CoAP port asks

    def serves(self, path: list[bytes]) -> bool:
        return self.means.settings.enabled and bool(path) and path[0] in SERVED

    def request(self, message: Message, path: list[bytes], content_format: int | None, datagram: bytes,
                remote: Remote, now: float) -> None:  # fmt: skip
        """A request of one datagram for a path that it `serves`."""
        key = (remote, message.message_id)
        seen = self._answers.recall(key, datagram, now)
        if isinstance(seen, bytes):
            remote.send(seen)
            return
        if seen is Seen.IN_WORK:
            return
        if not self.allows(remote.address, now):
            self._answers.forget(key)
            return
        if len(self._work) >= MAX_IN_WORK or not self._taking:
            self._answers.forget(key)
            self.means.counters.refused["lwm2m_busy"] += 1
            remote.send(self._datagram(message, Answer(coap.SERVICE_UNAVAILABLE, retry_later=True)))
            return
        query = tuple(value for number, value in message.options if number == coap.URI_QUERY)
        segments = tuple(part.decode("utf-8", "replace") for part in path)
        inbound = Inbound(message.code, segments, query, content_format, message.payload, remote)
        task = asyncio.get_running_loop().create_task(self._respond(message, inbound), name="lwm2m request")
        self._work.add(task)
        task.add_done_callback(self._work.discard)

    def allows(self, address: int, now: float) -> bool:
        """Whether the sender's prefix has something left of its share; takes it."""
        allowed = self._limiter.allow(address, now)
        self.means.counters.silenced += not allowed
        return allowed

    async def _respond(self, message: Message, inbound: Inbound) -> None:
        key = (inbound.remote, message.message_id)
        answer = await self.server.requests.handle(inbound)
        datagram = self._datagram(message, answer)
        if answer.retry_later:
            self._answers.forget(key)
        else:
            self._answers.note(key, datagram)
        self.means.counters.answers[coap.code_name(answer.code)] += 1
        inbound.remote.send(datagram)

    def _datagram(self, request: Message, answer: Answer) -> bytes:
        """Section 5.2.1 and 5.2.3: on the acknowledgement, or of a NON by a NON."""
        kind, message_id = coap.ACK, request.message_id
        if request.type == coap.NON:
            self._message_id = message_id = self._message_id + 1 & 0xFFFF
            kind = coap.NON
        options = [(LOCATION_PATH, part.encode()) for part in answer.location]
        if answer.retry_later:
            options.append((coap.MAX_AGE, coap.uint(self._retry_after_s)))
        return coap.encode(Message(kind, answer.code, message_id, request.token, options, b""))

    def answer(self, message: Message, remote: Remote) -> bool:
        """Anything but a request; False when it is none of this server's business. A stranger's notification costs a
        look into the store, of which each source prefix has its share."""
        if not self.means.settings.enabled:
            return False
        token = read_token(message.token)
        if token is not None and self.server.sessions.get(token.registration_id) is None:  # noqa: SIM102 - two reasons
            if not self.allows(remote.address, self.means.clock()):
                return True
        return self.server.hears(message, remote)

    def owner_key(self, path: list[bytes], message: Message) -> bytes | None:
        """By what the owner among several processes is found; None: whoever has it (a Send names no device)."""
        if path[:1] == [b"rd"] and len(path) == 2:
            return path[1].lower()
        query = read_query(value for number, value in message.options if number == coap.URI_QUERY)
        if query.endpoint is None:
            return None
        for name in names_of(query.endpoint):
            found = self.means.devices.find(name)
            if found is not None:
                return registration_id(found[0]).hex().encode()
        return None

    def answer_owner_key(self, message: Message) -> bytes | None:
        token = read_token(message.token)
        return None if token is None else token.registration_id.hex().encode()

    def is_here(self, message: Message, remote: Remote) -> bool:
        """Whether this process has the conversation that a response, acknowledgement or reset belongs to."""
        token = read_token(message.token)
        if token is None:
            session = self.server.sessions.at(remote.shown)
            return session is not None and session.awaits(message)
        session = self.server.sessions.get(token.registration_id)
        return session is not None and session.remote == remote

    # OpenDoor

    def ports(self) -> Mapping[str, int]:
        return {}

    async def start(self) -> None:
        return None

    async def serve(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_S)
            self.server.sessions.sweep()

    def stop_reading(self) -> None:
        self._taking = False

    async def stop(self) -> None:
        await self.server.stop()
        for task in self._work:
            task.cancel()

    def gauges(self) -> Readings:
        server, store = self.server, self.means.store
        return {
            "lwm2m_sessions": ("LwM2M clients that listen", lambda: len(server.sessions)),
            "lwm2m_session_evictions": ("LwM2M sessions dropped early", lambda: server.sessions.evictions),
            "lwm2m_in_work": ("LwM2M requests without answer", lambda: len(self._work)),
            "lwm2m_tasks": ("LwM2M notifications looked into", lambda: server.tasks),
            "lwm2m_remembered_answers": ("Answers kept for retransmissions", lambda: len(self._answers)),
            "lwm2m_store_reads": ("Registrations read from the stream", lambda: store.reads),
            "lwm2m_store_writes": ("Registrations written to the stream", lambda: store.writes),
        }
