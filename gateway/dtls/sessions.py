"""Sessions by the address of their peer, in a bounded table. Pure."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection
from itertools import islice
from typing import Any

from gateway.dtls.session import Session

MAX_SESSIONS_PER_IDENTITY = 4
"""A meter has one, and those that a NAT took from it. Without a bound one stolen key could displace everybody."""

Peer = tuple[Any, ...]


class Sessions:
    """The least recently used goes first when there is no room, and one that was not used for `idle_timeout_s`."""

    def __init__(self, max_sessions: int, idle_timeout_s: float) -> None:
        self._max_sessions, self._idle_timeout_s = max_sessions, idle_timeout_s
        self._by_peer: OrderedDict[Peer, Session] = OrderedDict()
        self._by_identity: dict[str, tuple[Peer, ...]] = {}
        self._changed: dict[Peer, None] | None = None
        self.displaced = self.expired = 0
        self.begun = 0
        """Sessions added, ever."""

    def __len__(self) -> int:
        return len(self._by_peer)

    def __contains__(self, peer: Peer) -> bool:
        return peer in self._by_peer

    def get(self, peer: Peer) -> Session | None:
        return self._by_peer.get(peer)

    def peers(self) -> list[Peer]:
        """Of all sessions, the least recently used first."""
        return list(self._by_peer)

    def of(self, devices: Collection[str]) -> list[tuple[Peer, Session]]:
        """All sessions of these devices; looks at every session there is."""
        return [(peer, session) for peer, session in self._by_peer.items() if session.speaker.device in devices]

    def note_changes(self) -> None:
        """From now on remember which sessions changed."""
        self._changed = {}

    def changed(self, limit: int) -> list[Peer]:
        """Those that changed longest ago and were not given out since."""
        changed = self._changed or {}
        peers = list(islice(changed, limit))
        for peer in peers:
            del changed[peer]
        return peers

    @property
    def unwritten(self) -> int:
        return len(self._changed or ())

    def _note(self, peer: Peer) -> None:
        if self._changed is not None:
            self._changed[peer] = None

    def used(self, peer: Peer, session: Session, now: float) -> None:
        session.used_at = now
        self._by_peer.move_to_end(peer)
        self._note(peer)

    def add(self, peer: Peer, session: Session, now: float) -> None:
        """In place of one that this address has."""
        self.remove(peer)
        identity = session.speaker.identity
        mine = self._by_identity.get(identity, ())
        if len(mine) >= MAX_SESSIONS_PER_IDENTITY:
            self.remove(mine[0])
            self.displaced += 1
        elif len(self._by_peer) >= self._max_sessions:
            self.remove(next(iter(self._by_peer)))
            self.displaced += 1
        session.used_at = now
        self.begun += 1
        self._by_peer[peer] = session
        self._note(peer)
        self._by_identity[identity] = (*self._by_identity.get(identity, ()), peer)

    def remove(self, peer: Peer) -> None:
        session = self._by_peer.pop(peer, None)
        if session is None:
            return
        self._note(peer)
        identity = session.speaker.identity
        rest = tuple(other for other in self._by_identity[identity] if other != peer)
        if rest:
            self._by_identity[identity] = rest
        else:
            del self._by_identity[identity]

    def expire(self, now: float) -> None:
        while self._by_peer:
            peer, session = next(iter(self._by_peer.items()))
            if now - session.used_at < self._idle_timeout_s:
                return
            self.remove(peer)
            self.expired += 1
