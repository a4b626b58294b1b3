"""Keeps the table of unknown devices that knock: bounded, however many names somebody invents.

New names are let in at a rate, and beyond MAX_STRANGERS the least interesting go: first who was dismissed, the oldest
first, then who knocked only once, then who was silent longest. Who became known meanwhile goes, too.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from prometheus_client import Counter

from metering.strangers import Knock

MAX_STRANGERS = 10_000
NEW_PER_S = 50.0
NEW_AT_ONCE = 2_000.0

HEARD = Counter("nbwater_ingest_strangers_heard_total", "Unknown names told by gateways")
KEPT_OUT = Counter("nbwater_ingest_strangers_kept_out_total", "New unknown names above the rate, not stored")

_KNOWN = "SELECT name FROM strangers WHERE name = ANY($1::text[])"

_TAKE = """
INSERT INTO strangers (name, door, source, reason, knocks)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[])
ON CONFLICT (name) DO UPDATE SET door = EXCLUDED.door, source = EXCLUDED.source, reason = EXCLUDED.reason,
    knocks = strangers.knocks + EXCLUDED.knocks, last_at = now()
"""

_TRIM = """
DELETE FROM strangers WHERE name IN (
    SELECT name FROM strangers ORDER BY dismissed_at NULLS LAST, knocks > 1, last_at
    LIMIT GREATEST(0, (SELECT count(*) FROM strangers) - $1)
)
"""

_NO_LONGER = """
DELETE FROM strangers s WHERE s.reason = 'unknown_device' AND (
    EXISTS (SELECT FROM devices d WHERE d.device = s.name AND d.enabled)
    OR EXISTS (SELECT FROM devices d WHERE d.imei = s.name AND d.enabled)
    OR EXISTS (SELECT FROM meters m JOIN installations i ON i.meter_id = m.meter_id AND i.valid_to IS NULL
               WHERE m.serial = s.name)
)
"""


class StrangerTable:
    """Takes what gateways tell into the database; `clock` in seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, limit: int = MAX_STRANGERS) -> None:
        self._clock, self._limit = clock, limit
        self._tokens, self._at_s = NEW_AT_ONCE, clock()

    async def take(self, connection: Any, knocks: Sequence[Knock]) -> None:
        HEARD.inc(len(knocks))
        merged = {knock.name: knock for knock in knocks}  # one statement cannot change a row twice
        known = {row["name"] for row in await connection.fetch(_KNOWN, list(merged))}
        new = [name for name in merged if name not in known]
        admitted = new[: self._admit(len(new))]
        KEPT_OUT.inc(len(new) - len(admitted))
        rows = [merged[name] for name in (*known, *admitted)]
        await connection.execute(
            _TAKE,
            [row.name for row in rows],
            [str(row.door) for row in rows],
            [row.source for row in rows],
            [row.reason for row in rows],
            [row.knocks for row in rows],
        )
        await connection.execute(_TRIM, self._limit)

    async def forget_known(self, connection: Any) -> None:
        """Who is in the registry by now is no stranger."""
        await connection.execute(_NO_LONGER)

    def _admit(self, wanted: int) -> int:
        now = self._clock()
        self._tokens = min(NEW_AT_ONCE, self._tokens + (now - self._at_s) * NEW_PER_S)
        self._at_s = now
        admitted = min(wanted, int(self._tokens))
        self._tokens -= admitted
        return admitted
