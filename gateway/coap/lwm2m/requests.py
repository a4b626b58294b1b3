"""The requests a client makes: register, update, deregister (LwM2M core 1.2 section 6.2), Send, and /t/r.

A registration is in the store before it is answered, a Send in custody.
"""

from __future__ import annotations

import asyncio
from typing import NamedTuple

from gateway.coap import message as coap
from gateway.coap.lwm2m import downlink
from gateway.coap.lwm2m.admission import admitted, known, known_by_address, read_id
from gateway.coap.lwm2m.bootstrapping import Bootstrapping, formats_for
from gateway.coap.lwm2m.enrolment import account_of, enrolled
from gateway.coap.lwm2m.exchange import DELETE, DELETED, PUT
from gateway.coap.lwm2m.links import Offer, read_offer
from gateway.coap.lwm2m.means import Item, Means, taken
from gateway.coap.lwm2m.registration import (
    LEGACY_LIFETIME_S,
    Query,
    Registration,
    read_query,
    registered,
    registration_id,
    updated,
    with_observed,
)
from gateway.coap.lwm2m.session import Session
from gateway.coap.lwm2m.sessions import Sessions
from gateway.coap.lwm2m.states import Event
from gateway.coap.remote import Remote
from metering.errors import AdmissionError, CustodyError, UnauthorisedError, UnavailableError

CREATED = 0x41  # 2.01
FORBIDDEN = 0x83  # 4.03

AFTER_ANSWER_S = 0.05
"""Requests of ours come so much after an answer, lest they overtake it."""


class Inbound(NamedTuple):
    """A request for one of the server's paths, whole."""

    code: int
    path: tuple[str, ...]
    query: tuple[bytes, ...]
    content_format: int | None
    payload: bytes
    remote: Remote


class Answer(NamedTuple):
    """`location`: the Location-Path, segment by segment. `retry_later`: with Max-Age."""

    code: int
    location: tuple[str, ...] = ()
    retry_later: bool = False


NOT_FOUND = Answer(coap.NOT_FOUND)


class Requests:
    def __init__(self, means: Means, sessions: Sessions) -> None:
        self._means, self._sessions = means, sessions

    async def handle(self, inbound: Inbound) -> Answer:
        """Never raises for anything a client or the stream does."""
        try:
            return await self._handle(inbound)
        except UnauthorisedError as error:
            # LwM2M core 1.2 table 8.3.-1: "4.03 Forbidden: the Endpoint Client Name registration is not allowed".
            self._means.counters.refused[error.reason] += 1
            return Answer(FORBIDDEN)
        except (AdmissionError, CustodyError, UnavailableError) as error:
            self._means.counters.refused[error.label] += 1
            code = coap.code_of(error.coap)
            return Answer(code, retry_later=code == coap.SERVICE_UNAVAILABLE)

    async def _handle(self, inbound: Inbound) -> Answer:
        match inbound.path, inbound.code:
            case ("rd",), coap.POST:
                return await self._register(inbound)
            case ("rd", text), code if code in (coap.POST, PUT):  # PUT: drafts that some modules still speak
                return await self._update(inbound, text)
            case ("rd", text), code if code == DELETE:
                return await self._deregister(inbound, text)
            case ("dp",), coap.POST:
                return await self._send(inbound)
            case ("t", "r"), coap.POST:
                return await self._bind(inbound)
            case ("bs",), coap.POST:
                return await self._bootstrap(inbound)
            case ("rd",) | ("rd", _) | ("dp",) | ("t", "r") | ("bs",), _:
                return Answer(coap.METHOD_NOT_ALLOWED)
            case _:
                return NOT_FOUND

    async def _register(self, inbound: Inbound) -> Answer:
        query = read_query(inbound.query)
        device = admitted(self._means, query.endpoint, inbound.remote)
        record = await self._registered(device, query, read_offer(inbound.payload), inbound.remote)
        session = self._sessions.set(record, inbound.remote)
        session.to_read = tuple(
            path for path in downlink.wanted(record, self._means.settings.read) if not record.legacy
        )
        self._after_answer(session, Event.REGISTER)
        return Answer(CREATED, ("rd", registration_id(device).hex()))

    async def _bind(self, inbound: Inbound) -> Answer:
        """POST /t/r?ep=IMEI of the older direct CoAP (PROTOCOLS C)."""
        query = read_query(inbound.query)._replace(lifetime_s=LEGACY_LIFETIME_S)
        device = admitted(self._means, query.endpoint, inbound.remote)
        record = await self._registered(device, query, Offer(()), inbound.remote, legacy=True)
        self._after_answer(self._sessions.set(record, inbound.remote), Event.REGISTER)
        return Answer(coap.CHANGED)

    async def _registered(
        self, device: str, query: Query, offer: Offer, remote: Remote, legacy: bool = False
    ) -> Registration:
        """In the store when this returns. Raises UnavailableError, and UnauthorisedError in the one case of 10⁷ that
        two devices have one id."""
        means, now_s = self._means, int(self._means.wall())
        key = registration_id(device)
        before = await means.store.get(key)
        if before is not None and before.device != device:
            raise UnauthorisedError("registration_id_taken")
        peer = "" if remote.vouched else remote.shown
        record = registered(device, query.endpoint or device, query, offer, peer, now_s, before)
        record = record._replace(legacy=legacy)
        record = with_observed(record, downlink.observed(record, means.settings))
        return await self._kept(record, remote)

    async def _kept(self, record: Registration, remote: Remote) -> Registration:
        """The record, and whose its address is, so that a Send is known at every gateway."""
        means, key = self._means, registration_id(record.device)
        kid = b"" if remote.vouched is None else remote.vouched.kid
        if kid != record.kid:  # observations asked for under another key cannot be read any more
            record = record._replace(kid=kid, bound={}, established=frozenset())
        keep_s, now_s = means.keep_s(record), int(means.wall())
        stale = now_s - record.peer_kept_s > record.lifetime_s / 2
        if remote.vouched is None and (stale or await means.store.id_at(record.peer) != key):
            record = record._replace(peer_kept_s=now_s)
            await means.store.put_peer(record.peer, key, keep_s)
        await means.store.put(key, record, keep_s)
        return record

    async def _update(self, inbound: Inbound, text: str) -> Answer:
        record = await self._known(text, inbound.remote)
        if record is None:
            return NOT_FOUND
        remote, means = inbound.remote, self._means
        offer = read_offer(inbound.payload) if inbound.payload else None
        peer = "" if remote.vouched else remote.shown
        newer = updated(record, read_query(inbound.query), offer, peer, int(means.wall()))
        if peer != record.peer:
            newer = newer._replace(peer_kept_s=0)
        newer = with_observed(newer, downlink.observed(newer, means.settings))
        session = self._sessions.set(await self._kept(newer, remote), remote)
        self._after_answer(session, Event.HEARD)
        return Answer(coap.CHANGED)

    async def _deregister(self, inbound: Inbound, text: str) -> Answer:
        record = await self._known(text, inbound.remote)
        if record is None:
            return NOT_FOUND
        # In this order: what the session does meanwhile would write the registration anew.
        self._sessions.drop(registration_id(record.device))
        await self._means.store.delete(registration_id(record.device))
        return Answer(DELETED)

    async def _send(self, inbound: Inbound) -> Answer:
        """LwM2M core 1.1 section 6.4.3."""
        record, remote = await self._sender(inbound), inbound.remote
        if record is None or not inbound.payload:
            return NOT_FOUND if record is None else Answer(coap.BAD_REQUEST)
        item: Item = ("/", downlink.content_format_of(inbound.content_format), inbound.payload)
        failure = await taken(self._means, record, remote, (item,))
        if failure is not None:
            raise failure
        self._after_answer(self._sessions.set(record, remote), Event.HEARD)
        return Answer(coap.CHANGED)

    async def _sender(self, inbound: Inbound) -> Registration | None:
        """Of a Send: the client is known by its security, by `ep` if it says so, or by the address it registered from.
        An address that was silent may be another's by now, whom a NAT or the network gave it: it counts for
        `send_fresh_s` only, and then the client has to say its name, by an update or a registration. So it has where
        it was heard in the future: one of the clocks was wrong."""
        remote, means, endpoint = inbound.remote, self._means, read_query(inbound.query).endpoint
        if remote.vouched is not None or endpoint is not None:
            device = admitted(means, endpoint, remote)
            return await known(means, self._sessions, registration_id(device), remote)
        record = await known_by_address(means, remote)
        if record is None:
            return None
        session = self._sessions.at(remote.shown)
        silent_s = abs(means.wall() - record.last_heard_s)
        if session is not None and session.record.device == record.device:
            silent_s = min(silent_s, means.clock() - session.window.heard_at)
            if session.bootstrapping is None:
                record = session.record  # what the conversation under way knows is not stored yet
        return record if silent_s <= means.settings.send_fresh_s else None

    async def _bootstrap(self, inbound: Inbound) -> Answer:
        """LwM2M core 1.2 section 6.1.4: 2.04 at once, then the server writes."""
        query, remote, means = read_query(inbound.query), inbound.remote, self._means
        device = await enrolled(means, query.endpoint, remote)
        work = Bootstrapping(account_of(means, device), formats_for(inbound.query))
        record = registered(device, query.endpoint or device, query, Offer(()), "", int(means.wall()), None)
        session = self._sessions.set(record, remote)
        session.bootstrapping = work
        self._after_answer(session, Event.REGISTER)
        return Answer(coap.CHANGED)

    async def _known(self, text: str, remote: Remote) -> Registration | None:
        key = read_id(text)
        return None if key is None else await known(self._means, self._sessions, key, remote)

    def _after_answer(self, session: Session, event: Event) -> None:
        """Requests of ours come after the answer that is being made now."""
        asyncio.get_running_loop().call_later(AFTER_ANSWER_S, self._heard, session, event)

    def _heard(self, session: Session, event: Event) -> None:
        if self._sessions.get(session.id) is session:
            session.heard(event)
