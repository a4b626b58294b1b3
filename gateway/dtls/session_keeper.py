"""Brings changes of sessions to the file in which they outlive the process, off the event loop: a batch a second, and
one when a session began."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable

import structlog

from gateway.dtls.session_store import Change, SessionStore
from gateway.dtls.sessions import Sessions
from metering.following import Pace

MAX_CHANGES = 5_000
"""Written at once; what changed beyond them waits for the next second."""

FAILURE_LOG_PAUSE_S = 60.0
_log = structlog.get_logger()


class SessionKeeper:
    """`load` first, then `tick` about once a second and when a session began."""

    def __init__(self, store: SessionStore, sessions: Sessions) -> None:
        self._store, self._sessions = store, sessions
        self._writing: asyncio.Task[None] | None = None
        self._pace = Pace(FAILURE_LOG_PAUSE_S)
        self.failures = 0

    def load(self, now: float) -> None:
        """Sessions of earlier processes; those that nobody used for too long go at the first tick."""
        for peer, session, used_s in self._store.load():
            self._sessions.add(peer, session, now - max(0.0, time.time() - used_s))
        self._sessions.note_changes()

    def tick(self, now: float) -> None:
        """Begin to write, unless the last batch is still being written."""
        if self._writing is None or self._writing.done():
            changes = self._changes(now)
            if changes:
                self._writing = asyncio.get_running_loop().create_task(self._write(changes, now))

    async def stop(self, clock: Callable[[], float]) -> None:
        """Everything is on disk, or cannot be brought there."""
        if self._writing is not None:
            await self._writing
        while changes := self._changes(clock()):
            await self._write(changes, clock())
        self._store.close()

    def _changes(self, now: float) -> list[Change]:
        wall_s, changes = time.time(), []
        for peer in self._sessions.changed(MAX_CHANGES):
            session = self._sessions.get(peer)
            if session is None:
                changes.append(Change(peer))
            else:
                changes.append(Change(peer, session.speaker, session.state(), wall_s - (now - session.used_at)))
        return changes

    async def _write(self, changes: list[Change], now: float) -> None:
        """Without a disk meters go on; after a restart they shake hands."""
        try:
            await asyncio.to_thread(self._store.write, changes)
        except sqlite3.Error as error:
            self.failures += 1
            if self._pace.allows(now):
                _log.warning("DTLS sessions cannot be written", error=str(error))
