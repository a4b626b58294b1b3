"""Unknown devices that knock, counted in a small table that is told to ingest every few seconds and then forgotten.

Anybody may knock, as often and under as many names as they like: what it costs is one look into a dictionary, and what
is kept has three bounds. Names that find no room are counted and lost; a meter that belongs here knocks again.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable

import structlog

from metering.model import Door
from metering.strangers import (
    MAX_KNOCKS,
    MAX_NAME_CHARACTERS,
    MAX_SOURCE_CHARACTERS,
    STRANGERS_SUBJECT,
    Knock,
    cleaned,
    encode_knocks,
)

FLUSH_S = 5.0
MAX_NAMES_PER_SOURCE = 64
"""Of one address between two messages, so that one sender does not take all the room."""

_log = structlog.get_logger()
Tell = Callable[[str, bytes], Awaitable[None]]


class _Row:
    __slots__ = ("door", "knocks", "reason", "source")

    def __init__(self, door: Door, source: str, reason: str) -> None:
        self.door, self.source, self.reason, self.knocks = door, source, reason, 1


class Strangers:
    """`knock` is for every door; it never raises and never grows beyond `limit` names."""

    def __init__(self, limit: int = MAX_KNOCKS) -> None:
        self._limit = limit
        self._rows: dict[str, _Row] = {}
        self._names_of: Counter[str] = Counter()
        self.lost = 0
        """Knocks for which there was no room."""

    def __len__(self) -> int:
        return len(self._rows)

    def knock(self, name: str, door: Door, source: str, reason: str) -> None:
        """Somebody nobody knows called itself `name` at `door`. `source`: its address without port, as it is shown.
        `reason`: the short stable word of the refusal."""
        name = name[:MAX_NAME_CHARACTERS]
        row = self._rows.get(name)
        if row is not None:
            row.door, row.source, row.reason = door, source, reason
            row.knocks += 1
        elif not name or len(self._rows) >= self._limit or self._names_of[source] >= MAX_NAMES_PER_SOURCE:
            self.lost += 1
        else:
            self._names_of[source] += 1
            self._rows[name] = _Row(door, source, reason)

    def drain(self) -> list[Knock]:
        """What came since the last call, cleaned."""
        rows, self._rows = self._rows, {}
        self._names_of.clear()
        return [
            Knock(
                cleaned(name, MAX_NAME_CHARACTERS), row.door, cleaned(row.source, MAX_SOURCE_CHARACTERS), row.reason,
                row.knocks,
            )
            for name, row in rows.items()
        ]  # fmt: skip


async def tell_strangers(strangers: Strangers, tell: Tell) -> None:
    """Until cancelled. What cannot be told is lost."""
    while True:
        await asyncio.sleep(FLUSH_S)
        if knocks := strangers.drain():
            try:
                await tell(STRANGERS_SUBJECT, encode_knocks(knocks))
            except Exception as error:
                strangers.lost += len(knocks)
                _log.warning("strangers_not_told", error=type(error).__name__)
