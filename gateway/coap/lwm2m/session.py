"""One client that this process talks to: requests go to it one at a time while it listens, oldest first.

What has to be done is not queued here: it follows from the registration (paths that are not observed yet) and from the
commands that wait, so that a process that is killed forgets nothing.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator

import structlog

from gateway.coap import message as coap
from gateway.coap.lwm2m import downlink, formats, updating
from gateway.coap.lwm2m.bootstrapping import Bootstrapping
from gateway.coap.lwm2m.delivery import Delivery
from gateway.coap.lwm2m.exchange import (
    NOT_ACCEPTABLE,
    Ask,
    Exchange,
    Reply,
    Standing,
    acknowledgement,
    read_reply,
    reset,
)
from gateway.coap.lwm2m.means import Item, Means, taken
from gateway.coap.lwm2m.registration import Registration, registration_id, with_observed
from gateway.coap.lwm2m.states import Event, State, Window
from gateway.coap.lwm2m.tokens import REQUESTS_FROM, Token, next_request_number
from gateway.coap.message import Message
from gateway.coap.remote import Remote
from metering.envelope import MAX_PAYLOAD_BYTES
from metering.errors import UnavailableError

MAX_BLOCKS = 1024
MAX_ANSWER_BYTES = MAX_PAYLOAD_BYTES - 1024
"""Of all blocks of an answer: with path and CBOR around it a report still fits its envelope."""

_log = structlog.get_logger()


class AsleepError(Exception):
    """The client does not listen now; what was to be sent waits for it."""


class Session:
    """`record` and `remote` are what was heard last. Made when a client is heard; see `gateway.coap.lwm2m.server`."""

    def __init__(self, means: Means, record: Registration, remote: Remote) -> None:
        self._means, self.record, self.remote = means, record, remote
        self.id = registration_id(record.device)
        self.window = Window(means.window_s(record))
        self.to_read: tuple[str, ...] = ()
        """Paths to read once, after a registration."""
        self.bootstrapping: Bootstrapping | None = None
        """The client is no client yet: it is given its keys and nothing else."""
        self._open: Exchange | None = None
        self._arrived = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._number = REQUESTS_FROM + random.getrandbits(6)
        self._message_id = random.getrandbits(16)
        self._acknowledged = -1
        self._again = False
        """Something came up while the task ran."""
        self.delivery = Delivery(means, self)

    @property
    def busy(self) -> bool:
        return self._task is not None and not self._task.done()

    @property
    def listens(self) -> bool:
        return self.window.listens(self._means.clock())

    def heard(self, event: Event = Event.HEARD) -> None:
        """The client was heard, authenticated, at `remote`: it listens from now on for its window."""
        now = self._means.clock()
        self.window.window_s = self._means.window_s(self.record)
        if self.window.state is State.ABSENT:
            event = Event.REGISTER
        self.window.tell(event, now)
        self.wake()

    def wake(self) -> None:
        """Something may have to be done; nothing happens while the client sleeps."""
        self._again = True
        if not self.busy and self.listens:
            self._task = asyncio.get_running_loop().create_task(self._run(), name="lwm2m session")

    def close(self, event: Event = Event.DEREGISTER) -> None:
        self.window.tell(event, self._means.clock())
        if self._task is not None:
            self._task.cancel()

    async def _run(self) -> None:
        try:
            if self.bootstrapping is not None:
                done = await self.bootstrapping.run(self)
                _log.info("lwm2m_bootstrap", device=self.record.device, done=done)
                self.window.tell(Event.DEREGISTER, self._means.clock())
                return
            while self._again:
                self._again = False
                await self._establish()
                self._again = await self.delivery.run() or self._again
        except AsleepError:
            self.window.tell(Event.SILENT, self._means.clock())
        except UnavailableError as error:
            self._means.counters.refused[error.label] += 1
        except Exception:
            _log.exception("a conversation with an LwM2M client met a defect", device=self.record.device)

    # What came

    def awaits(self, message: Message) -> bool:
        return self._open is not None and self._open.matches(message)

    def receive(self, message: Message) -> None:
        """A message that it `awaits`."""
        if self._open is not None:
            self._open.receive(message, self._means.clock())
            self._arrived.set()

    def receive_late(self, message: Message) -> None:
        """An answer to a request that is over: its repeat is acknowledged, another is not wanted."""
        if message.type == coap.CON:
            known = message.message_id == self._acknowledged
            self.remote.send((acknowledgement if known else reset)(message.message_id))

    # What is asked

    async def _establish(self) -> None:
        """Read what is read once, observe what is not observed yet."""
        while self.to_read:
            await self._read_once(self.to_read[0])
            self.to_read = self.to_read[1:]
        wanted = set(self._wanted())
        await self._end_composites(wanted)
        missing = [
            (number, path)
            for number, path in enumerate(self.record.observed)
            if path in wanted and number not in self.record.established
        ]
        for number, path in missing:
            if await self._observe(number, path):
                bound = {**self.record.bound, number: self.remote.bound(Token(self.id, number).encode())}
                self.record = self.record._replace(established=self.record.established | {number}, bound=bound)
        if missing:
            await self.save()

    def _wanted(self) -> tuple[str, ...]:
        firmware = updating.OBSERVED if self.record.firmware else ()
        return downlink.observed(self.record, self._means.settings) + firmware

    async def save(self) -> None:
        """Raises UnavailableError."""
        await self._means.store.put(self.id, self.record, self._means.keep_s(self.record))

    async def _read_once(self, path: str) -> None:
        reply = await self.ask_fitting(downlink.read(path, self.record))
        if reply is not None and reply.success:
            await self.report(path, reply)

    async def _observe(self, number: int, path: str) -> bool:
        """Whether that is settled: a client that refuses is not asked again before it registers anew."""
        if downlink.is_composite(path):
            return await self._observe_composite(number, path)
        reply = await self.ask_fitting(downlink.observe(path, self.record), Token(self.id, number))
        if reply is None or not reply.success or not reply.payload:
            return True
        return await self.report(path, reply)

    async def _observe_composite(self, number: int, path: str) -> bool:
        """As `_observe`; a client that refuses, or leaves the request without answer as some do, is observed at each
        path by itself until it registers anew. Raises AsleepError, UnavailableError."""
        if not self.listens:
            raise AsleepError
        try:
            reply = await self.ask_fitting(downlink.observe(path, self.record), Token(self.id, number))
        except AsleepError:
            await self._separately()
            raise
        if reply is None or not reply.success or reply.observe is None:
            await self._separately()
            return False
        return await self.report(downlink.report_path(path), reply)

    async def _separately(self) -> None:
        record = self.record._replace(composite=False)
        self.record = with_observed(record, downlink.observed(record, self._means.settings))
        self._again = True
        await self.save()

    async def _end_composites(self, wanted: set[str]) -> None:
        """Of paths that have changed since: what is observed instead comes under another token."""
        for number in sorted(self.record.established):
            path = self.record.observed[number]
            if downlink.is_composite(path) and path not in wanted:
                await self.ask(downlink.observe(path, self.record)._replace(observe=1), Token(self.id, number))
                self.record = self.record._replace(established=self.record.established - {number})

    async def ask_fitting(self, ask: Ask, token: Token | None = None) -> Reply | None:
        """`ask`, with one Accept after the other while the client answers 4.06; None when it resets."""
        for accept in self._accepts(ask):
            reply = await self.ask(ask._replace(accept=accept), token)
            if reply is None or reply.code != NOT_ACCEPTABLE:
                if reply is not None and reply.content_format in formats.candidates(self.record):
                    self.record = self.record._replace(format=reply.content_format)
                return reply
        return reply

    def _accepts(self, ask: Ask) -> Iterator[int | None]:
        yield ask.accept
        if ask.accept is not None:
            yield from (each for each in formats.candidates(self.record) if each != ask.accept)
            yield None

    async def ask(self, ask: Ask, token: Token | None = None) -> Reply | None:
        """The whole answer, of all its blocks; None when the client resets. Raises AsleepError when it is silent."""
        message = await self._exchange(ask, token)
        if message is None:
            return None
        reply = await self.rest_of(read_reply(message), ask)
        self.acknowledge(message)
        return reply

    def acknowledge(self, message: Message) -> None:
        if message.type == coap.CON:
            self._acknowledged = message.message_id
            self.remote.send(acknowledgement(message.message_id))

    async def rest_of(self, reply: Reply, ask: Ask) -> Reply:
        """RFC 7959 section 2.4: the further blocks, each by a request of its own. Raises AsleepError."""
        if not (reply.success and reply.more):
            return reply
        body, block = bytearray(reply.payload), reply.block2 or 0
        for _ in range(MAX_BLOCKS):
            following = ((block >> 4) + 1) << 4 | block & 7
            message = await self._exchange(ask._replace(observe=None, block2=following), None)
            part = None if message is None else read_reply(message)
            if part is None or message is None or not part.success or len(body) > MAX_ANSWER_BYTES:
                break
            self.acknowledge(message)
            body += part.payload
            if not part.more:
                return reply._replace(payload=bytes(body), block2=None)
            block = part.block2 or 0
        raise AsleepError("an answer of blocks came to no end")

    async def _exchange(self, ask: Ask, token: Token | None) -> Message | None:
        if not self.listens:
            raise AsleepError
        if token is None:
            self._number = next_request_number(self._number)
            token = Token(self.id, self._number)
        self._message_id = self._message_id + 1 & 0xFFFF
        clock, settings = self._means.clock, self._means.settings
        exchange = self._open = Exchange(
            ask, self.record.offer.root, token.encode(), self._message_id, settings.ack_timeout_s,
            random.random(),  # noqa: S311 - jitter
            clock(),
        )  # fmt: skip
        try:
            self.remote.send(exchange.datagram)
            while exchange.standing is Standing.OPEN:
                await self._until(exchange.due_at)
                if exchange.due(clock()):
                    self.remote.send(exchange.datagram)
        finally:
            self._open = None
        if exchange.standing is Standing.SILENT:
            raise AsleepError
        self.window.tell(Event.HEARD, clock())
        return exchange.answer

    async def _until(self, at: float) -> None:
        try:
            async with asyncio.timeout(max(0.0, at - self._means.clock())):
                await self._arrived.wait()
        except TimeoutError:
            return
        self._arrived.clear()

    async def report(self, path: str, reply: Reply) -> bool:
        """Whether the answer's content is in custody."""
        item: Item = (path, downlink.content_format_of(reply.content_format), reply.payload)
        failure = await taken(self._means, self.record, self.remote, (item,))
        if failure is not None:
            self._means.counters.refused[failure.label] += 1
            return False
        self.delivery.noticed(path, reply)
        return True
