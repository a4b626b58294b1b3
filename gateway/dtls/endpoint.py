"""The DTLS port without its socket: datagrams in, datagrams and CoAP messages out (RFC 6347). Time is an argument.

A datagram is first looked at by what its first record is:

- of the epoch of sessions: the peer's session opens it, or the handshake whose last message it is;
- a ClientHello: answered with a HelloVerifyRequest, for which nothing is kept; with a good cookie a handshake begins,
  beside the session that the address may have, which only a finished handshake replaces;
- any other handshake message: given to the peer's handshake.

Whatever else comes gets silence. A record of a session that is not here cannot be answered either: what is not sealed
with the session's keys clients are not to believe (section 4.1.2.7).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Protocol

from gateway.dtls.engine import Engine, Handshake, Peer, State
from gateway.dtls.handshakes import Handshakes
from gateway.dtls.key_schedule import SUITES
from gateway.dtls.records import (
    ALERT,
    APPLICATION_DATA,
    HANDSHAKE,
    ClientHello,
    Record,
    find_client_hello,
    read_records,
    split_into_datagrams,
)
from gateway.dtls.session import EPOCH, Session, Speaker
from gateway.dtls.sessions import Sessions
from metering.credentials import Credential, CredentialKind

MTU_BYTES = 1152
"""Of flights: what RFC 7252 section 4.6 takes for sure to pass."""

_WARNING, _FATAL = 1, 2
_CLOSE_NOTIFY, _ACCESS_DENIED = 0, 49
"""RFC 5246 section 7.2."""
_NO_LONGER = bytes((_FATAL, _ACCESS_DENIED))
_OURS = frozenset(SUITES)


class Keyring(Protocol):
    """See `gateway.dtls.identities.Identities`."""

    def proven(self, speaker: Speaker) -> None: ...

    def failed(self, identity: str, host: str, now: float) -> None: ...

    def stands(self, speaker: Speaker) -> bool: ...


class Endpoint:
    """`send` puts a datagram on the network; `deliver` takes the CoAP message of an authenticated peer."""

    def __init__(
        self,
        engine: Engine,
        handshakes: Handshakes,
        sessions: Sessions,
        keyring: Keyring,
        send: Callable[[bytes, Peer], None],
        deliver: Callable[[bytes, Peer, Speaker], None],
    ) -> None:
        self._engine, self._handshakes, self._sessions = engine, handshakes, sessions
        self._keyring, self._transmit, self._deliver = keyring, send, deliver
        self.ignored: Counter[str] = Counter()
        """Datagrams and records nothing was done with, by reason."""
        self._lost_keys: set[str] = set()
        self.completed = self.failed = self.refused = self.greeted = self.closed = 0
        """Handshakes by what became of them, HelloVerifyRequests, and sessions ended by either side."""

    def receive(self, datagram: bytes, peer: Peer, address: int, now: float) -> None:
        """One datagram. `address`: of the peer, 128 bits."""
        records = read_records(datagram)
        if not records:
            self.ignored["not_dtls"] += 1
        elif records[0].epoch == EPOCH:
            self._protected(records, datagram, peer, now)
        elif (hello := find_client_hello(records[0])) is not None:
            self._hello(hello, datagram, peer, address, now)
        elif (opened := self._handshakes.get(peer)) is not None:
            self._advance(opened.handshake, datagram, peer, now)
        elif any(record.epoch == EPOCH for record in records) and peer in self._sessions:
            self._protected(records, datagram, peer, now)  # the client's last flight once more
        else:
            self.ignored["no_handshake"] += 1

    def send(self, message: bytes, peer: Peer, device: str) -> None:
        """To the session of this address, if it is still that device's and its key still counts."""
        session = self._sessions.get(peer)
        if session is None or session.speaker.device != device:
            self.ignored["no_session_to_answer"] += 1
        elif self._keyring.stands(session.speaker):
            self._transmit(session.seal(APPLICATION_DATA, message), peer)
        else:
            self._end(session, peer, bytes((_FATAL, _ACCESS_DENIED)))

    def keys_gone(self, names: Iterable[str], gone: Iterable[Credential]) -> None:
        """The device of these names has lost these keys: its sessions by them end at the next tick, all in one look."""
        if any(key.kind is CredentialKind.PSK for key in gone):
            self._lost_keys.update(names)

    def tick(self, now: float) -> None:
        """To be called about once a second: retransmissions, and what is too old goes."""
        self.failed += self._handshakes.expire(now)
        self._sessions.expire(now)
        if self._lost_keys:
            devices, self._lost_keys = self._lost_keys, set()
            for peer, session in self._sessions.of(devices):
                if not self._keyring.stands(session.speaker):
                    self._end(session, peer, _NO_LONGER)
        for peer, opened in self._handshakes.items():
            self._reply(opened.handshake.tick(), peer)
            self._conclude(opened.handshake, peer, now)

    def _hello(self, hello: ClientHello, datagram: bytes, peer: Peer, address: int, now: float) -> None:
        opened = self._handshakes.get(peer)
        if opened is not None and hello.has_cookie and opened.hello_random == hello.random:
            self._advance(opened.handshake, datagram, peer, now)
            return
        if not hello.suites & _OURS:
            self.ignored["no_common_suite"] += 1
            return
        if hello.has_cookie and not self._handshakes.could_begin(address, now):
            self.refused += 1  # unseen: to look at its cookie costs four times as much
            return
        reply, handshake = self._engine.greet(datagram, peer)
        if handshake is None:
            self.greeted += 1
            self._reply(reply, peer)
        elif self._handshakes.may_begin(address, now):
            self._handshakes.add(peer, handshake, hello.random, address, now)
            self._reply(handshake.begin(), peer)
            self._conclude(handshake, peer, now)
        else:
            self.refused += 1

    def _advance(self, handshake: Handshake, datagram: bytes, peer: Peer, now: float) -> None:
        self._reply(handshake.receive(datagram), peer)
        self._conclude(handshake, peer, now)

    def _conclude(self, handshake: Handshake, peer: Peer, now: float) -> None:
        if handshake.state is State.OPEN:
            return
        opened = self._handshakes.remove(peer)
        session = handshake.session()
        if session is not None:
            if opened is not None:
                self._handshakes.learn(opened.prefix)
            self.completed += 1
            self._sessions.add(peer, session, now)
            self._keyring.proven(session.speaker)
            return
        self.failed += 1
        if handshake.identity is not None:
            self._keyring.failed(handshake.identity, handshake.host, now)

    def _reply(self, records: bytes, peer: Peer) -> None:
        for datagram in split_into_datagrams(records, MTU_BYTES):
            self._transmit(datagram, peer)

    def _protected(self, records: list[Record], datagram: bytes, peer: Peer, now: float) -> None:
        for record in records:
            session = self._sessions.get(peer)
            plaintext = session and record.epoch == EPOCH and session.open(record)
            if session is not None and isinstance(plaintext, bytes):
                self._opened(record.type, plaintext, session, peer, now)
            elif (opened := self._handshakes.get(peer)) is not None:
                self._advance(opened.handshake, datagram, peer, now)
                return
            elif record.epoch == EPOCH:
                self.ignored["not_authentic_or_repeated" if session else "no_session"] += 1

    def _opened(self, kind: int, plaintext: bytes, session: Session, peer: Peer, now: float) -> None:
        self._sessions.used(peer, session, now)
        if kind == APPLICATION_DATA:
            session.farewell = b""
            if self._keyring.stands(session.speaker):
                self._keyring.proven(session.speaker)
                self._deliver(plaintext, peer, session.speaker)
            else:
                self._end(session, peer, _NO_LONGER)
        elif kind == ALERT and (plaintext[:1] == bytes((_FATAL,)) or plaintext[1:2] == bytes((_CLOSE_NOTIFY,))):
            # RFC 5246 section 7.2.1: the other party answers with a close_notify of its own.
            self._end(session, peer, bytes((_WARNING, _CLOSE_NOTIFY)))
        elif kind == HANDSHAKE and session.farewell:
            self._reply(session.farewell, peer)

    def _end(self, session: Session, peer: Peer, alert: bytes) -> None:
        self.closed += 1
        self._transmit(session.seal(ALERT, alert), peer)
        self._sessions.remove(peer)
