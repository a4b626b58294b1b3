"""The LwM2M server (LwM2M core 1.0 to 1.2): registers clients, takes what they notify and send, and talks back.

Independent of what carries CoAP. Reports are in custody before they are acknowledged.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from functools import partial
from typing import Any

from gateway.coap import message as coap
from gateway.coap.lwm2m import downlink
from gateway.coap.lwm2m.admission import known
from gateway.coap.lwm2m.exchange import Reply, read_reply, reset
from gateway.coap.lwm2m.means import Item, Means, take
from gateway.coap.lwm2m.registration import LEGACY_LIFETIME_S, registration_id
from gateway.coap.lwm2m.requests import Requests
from gateway.coap.lwm2m.session import AsleepError, Session
from gateway.coap.lwm2m.sessions import Sessions
from gateway.coap.lwm2m.states import Event
from gateway.coap.lwm2m.tokens import Token, read_token
from gateway.coap.message import Message
from gateway.coap.remote import Remote
from metering.commands import WaitingCommand
from metering.errors import AdmissionError, CustodyError, UnavailableError

MAX_TASKS = 2048
"""Notifications of clients without a session, and of several blocks, that are looked into at once. Further ones get
silence: confirmable ones come again."""


class Lwm2mServer:
    """`requests` answers what clients ask, `hears` takes everything else that they say."""

    def __init__(self, means: Means) -> None:
        self._means = means
        self.sessions = Sessions(means)
        self.requests = Requests(means, self.sessions)
        self._tasks: set[asyncio.Task[None]] = set()
        self._looking: set[tuple[str, int]] = set()
        means.commands.on_new(self._on_command)

    @property
    def tasks(self) -> int:
        return len(self._tasks)

    def hears(self, message: Message, remote: Remote) -> bool:
        """Take a response, acknowledgement or reset; False when it is none of this server's business."""
        token = read_token(message.token)
        if token is None:
            session = self.sessions.at(remote.shown)
            if message.code != coap.EMPTY or session is None or not session.awaits(message):
                return False
            session.receive(message)
            return True
        session = self.sessions.get(token.registration_id)
        if session is not None and session.remote == remote:
            self._from_session(session, message, token)
        elif token.is_observation and message.type < coap.ACK:
            self._start(self._from_stranger(message, token, remote), remote, message)
        elif message.type == coap.CON:
            remote.send(reset(message.message_id))
        return True

    def _from_session(self, session: Session, message: Message, token: Token) -> None:
        if session.awaits(message):
            session.receive(message)
        elif message.type >= coap.ACK:
            return
        elif token.is_observation:
            self._notification(session, message, token)
        else:
            session.receive_late(message)

    async def _from_stranger(self, message: Message, token: Token, remote: Remote) -> None:
        """A notification of a client this process has not heard, or that comes from another address: after a restart,
        a rebinding, or of a registration that is no more, whose observations are reset (RFC 7641 section 3.6)."""
        try:
            record = await known(self._means, self.sessions, token.registration_id, remote)
        except UnavailableError:
            return  # a confirmable one comes again
        except AdmissionError as error:
            self._means.counters.refused[error.reason] += 1
            return
        if record is None or token.number >= len(record.observed):
            remote.send(reset(message.message_id))
            return
        self._notification(self.sessions.set(record, remote), message, token)

    def _notification(self, session: Session, message: Message, token: Token) -> None:
        record = session.record
        if token.number >= len(record.observed) or record.expired(self._means.wall(), self._means.settings.grace_s):
            session.remote.send(reset(message.message_id))
            return
        reply, path = read_reply(message), record.observed[token.number]
        if not reply.success:  # RFC 7641 section 3.2: the observation has ended
            session.record = record._replace(established=record.established - {token.number})
            session.acknowledge(message)
            session.heard()
        elif reply.more:
            self._start(self._long_notification(session, message, reply, path), session.remote, message)
        else:
            self._take(session, message, reply, path)

    async def _long_notification(self, session: Session, message: Message, reply: Reply, path: str) -> None:
        """RFC 7959 section 2.6: a notification carries the first block, the others are fetched."""
        if session.busy:
            return  # one request at a time: the notification comes again
        session.window.tell(Event.HEARD, self._means.clock())
        try:
            reply = await session.rest_of(reply, downlink.read(path, session.record, reply.content_format))
        except AsleepError:
            return
        self._take(session, message, reply, path)

    def _take(self, session: Session, message: Message, reply: Reply, path: str) -> None:
        """Into custody, then acknowledge. Without an acknowledgement the client sends a confirmable one again."""
        item: Item = (downlink.report_path(path), downlink.content_format_of(reply.content_format), reply.payload)
        settle = partial(self._settled, session, message, reply, path)
        try:
            take(self._means, session.record, session.remote, (item,), settle)
        except (AdmissionError, CustodyError) as error:
            self._means.counters.refused[error.label] += 1

    def _settled(
        self, session: Session, message: Message, reply: Reply, path: str, failure: CustodyError | None,
        command: WaitingCommand | None = None,  # noqa: ARG002 - as Settle
    ) -> None:  # fmt: skip
        if failure is not None:
            self._means.counters.refused[failure.label] += 1
        else:
            session.acknowledge(message)
            session.delivery.noticed(path, reply)
            if session.record.legacy:
                self._extend(session)
        session.heard()

    def _extend(self, session: Session) -> None:
        """A module of /t/r sends no updates: its reports keep it registered."""
        now_s = int(self._means.wall())
        if now_s - session.record.last_heard_s > LEGACY_LIFETIME_S / 8:
            session.record = session.record._replace(last_heard_s=now_s, peer=session.remote.shown)
            self._start(self._saved(session), session.remote, None)

    async def _saved(self, session: Session) -> None:
        try:
            await session.save()
        except UnavailableError as error:
            self._means.counters.refused[error.label] += 1

    def _start(self, work: Coroutine[Any, Any, None], remote: Remote, message: Message | None) -> None:
        """As a task; a message that is being looked into already, or one too many, is dropped."""
        key = (remote.shown, -1 if message is None else message.message_id)
        if len(self._tasks) >= MAX_TASKS or key in self._looking:
            self._means.counters.ignored["lwm2m_busy"] += 1
            work.close()
            return
        self._looking.add(key)
        task = asyncio.get_running_loop().create_task(work, name="lwm2m")
        self._tasks.add(task)
        task.add_done_callback(partial(self._done, key))

    def _done(self, key: tuple[str, int], task: asyncio.Task[None]) -> None:
        self._looking.discard(key)
        self._tasks.discard(task)

    def _on_command(self, device: str) -> None:
        session = self.sessions.get(registration_id(device))
        if session is not None:
            session.wake()

    async def stop(self) -> None:
        self.sessions.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
