"""Clients that this process heard a short while ago, in a bounded table: who sleeps takes no memory here."""

from __future__ import annotations

from collections import OrderedDict

from gateway.coap.lwm2m.means import Means
from gateway.coap.lwm2m.registration import Registration, registration_id
from gateway.coap.lwm2m.session import Session
from gateway.coap.lwm2m.states import Event
from gateway.coap.remote import Remote

SWEEP_S = 5.0
SWEPT_AT_ONCE = 2000


class Sessions:
    """By registration id and by where the client is. The one silent longest makes room; nothing is lost with it but
    that it may listen now."""

    def __init__(self, means: Means) -> None:
        self._means = means
        self._by_id: OrderedDict[bytes, Session] = OrderedDict()
        self._at: dict[str, bytes] = {}
        self._to_sweep: list[bytes] = []
        self.evictions = 0

    def __len__(self) -> int:
        return len(self._by_id)

    def get(self, key: bytes) -> Session | None:
        return self._by_id.get(key)

    def at(self, shown: str) -> Session | None:
        key = self._at.get(shown)
        return None if key is None else self._by_id.get(key)

    def set(self, record: Registration, remote: Remote) -> Session:
        """The device's session, with what was heard now. Another device's at the same place has moved or gone."""
        key = registration_id(record.device)
        session = self._by_id.get(key)
        if session is not None and session.bootstrapping is not None:
            self.drop(key)  # it was no registration
            session = None
        if session is None:
            if len(self._by_id) >= self._means.settings.max_sessions:
                self.drop(next(iter(self._by_id)), Event.WINDOW_OVER)
                self.evictions += 1
            session = self._by_id[key] = Session(self._means, record, remote)
        else:
            self._leave(session)
            session.record, session.remote = record, remote
            self._by_id.move_to_end(key)
        self._at[remote.shown] = key
        return session

    def drop(self, key: bytes, event: Event = Event.DEREGISTER) -> None:
        session = self._by_id.pop(key, None)
        if session is not None:
            self._leave(session)
            session.close(event)

    def sweep(self) -> None:
        """Drop who sleeps or is gone. Called every SWEEP_S; looks at SWEPT_AT_ONCE of them, the others have their
        turn later."""
        grace_s, wall = self._means.settings.grace_s, self._means.wall()
        if not self._to_sweep:
            self._to_sweep = list(self._by_id)
        turn, self._to_sweep = self._to_sweep[-SWEPT_AT_ONCE:], self._to_sweep[:-SWEPT_AT_ONCE]
        for key in turn:
            session = self._by_id.get(key)
            if session is None or session.busy:
                continue
            if session.record.expired(wall, grace_s):
                self.drop(key, Event.LIFETIME_OVER)
            elif not session.listens:
                self.drop(key, Event.WINDOW_OVER)

    def close(self) -> None:
        for key in list(self._by_id):
            self.drop(key, Event.WINDOW_OVER)

    def _leave(self, session: Session) -> None:
        shown = session.remote.shown
        if self._at.get(shown) == session.id:
            del self._at[shown]
