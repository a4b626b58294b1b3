"""What the detector knows of meters, and which have news for it, in the database."""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import numpy as np

from ingest.columns import columns, unix_s
from ingest.leaks.habits import STATE, VERSION, States
from metering.consumption import Bools, Ints

from .local_hours import as_date, day_number_of

_NOTE = """
INSERT INTO leak_due (meter_id, from_ts)
SELECT meter_id, to_timestamp(min(from_s)) FROM unnest($1::bigint[], $2::bigint[]) AS touched (meter_id, from_s)
GROUP BY meter_id ORDER BY meter_id
ON CONFLICT (meter_id) DO UPDATE
SET from_ts = LEAST(leak_due.from_ts, EXCLUDED.from_ts), changes = leak_due.changes + 1"""

_DUE = """
SELECT string_agg(int8send(meter_id), ''), string_agg(timestamptz_send(from_ts), ''), string_agg(int8send(changes), '')
FROM (SELECT meter_id, from_ts, changes FROM (
    SELECT * FROM leak_due WHERE put_off = $2 ORDER BY due_at LIMIT $1) oldest ORDER BY meter_id) due"""

_DONE = """
DELETE FROM leak_due WHERE meter_id IN (
    SELECT d.meter_id FROM leak_due d
    JOIN unnest($1::bigint[], $2::bigint[]) AS looked_at (meter_id, changes) USING (meter_id, changes)
    ORDER BY d.meter_id FOR UPDATE OF d SKIP LOCKED)"""

_PUT_OFF = """
UPDATE leak_due SET put_off = true WHERE meter_id IN (
    SELECT meter_id FROM leak_due WHERE meter_id = ANY($1::bigint[]) ORDER BY meter_id FOR UPDATE SKIP LOCKED)"""

_WAITING = """
SELECT count(*), count(*) FILTER (WHERE put_off),
       COALESCE(extract(epoch FROM now() - min(due_at) FILTER (WHERE NOT put_off)), 0)::float8
FROM leak_due"""

_LOAD = "SELECT meter_id, day, version, record FROM leak_states WHERE meter_id = ANY((SELECT $1::bigint[])::bigint[])"

_SAVE = """
INSERT INTO leak_states (meter_id, day, days, version, record)
SELECT meter_id, day, days, $4, record
FROM unnest($1::bigint[], $2::date[], $3::int[], $5::bytea[]) AS s (meter_id, day, days, record)
ON CONFLICT (meter_id) DO UPDATE
SET day = EXCLUDED.day, days = EXCLUDED.days, version = EXCLUDED.version, record = EXCLUDED.record"""

_KNOWN = "SELECT meter_id FROM leak_states WHERE meter_id = ANY((SELECT $1::bigint[])::bigint[]) AND days >= $2"

_MOVED = """
SELECT meter_id, max(valid_from) FROM installations i
WHERE meter_id = ANY((SELECT $1::bigint[])::bigint[])
  AND EXISTS (SELECT FROM installations earlier WHERE earlier.meter_id = i.meter_id
              AND earlier.valid_from < i.valid_from AND earlier.service_point_id <> i.service_point_id)
GROUP BY meter_id"""


class Due(NamedTuple):
    """Meters whose settled readings changed, one entry each, sorted."""

    meter_id: Ints
    from_s: Ints
    changes: Ints
    """Counts on when more changes: what changed while it was looked at stays due."""

    def only(self, which: Bools | Ints | slice) -> Due:
        return Due(*(column[which] for column in self))


class Known(NamedTuple):
    """What is known of meters, one entry for each that was asked for."""

    states: States
    """Rubbish where nothing is known."""
    day: Ints
    """The next day to look at; UNKNOWN of a meter that was never looked at."""
    usable: Bools
    """The state is there, and of this version."""


UNKNOWN = -(2**31)


async def note_due(connection: Any, meter_id: Ints, from_s: Ints) -> None:
    """Readings of these meters from these instants on are settled anew. Joins the caller's transaction."""
    await connection.execute(_NOTE, meter_id.tolist(), from_s.tolist())


class Waiting(NamedTuple):
    """How many meters are due, how many of them were put off, and for how long the first of the others has been."""

    meters: int
    put_off: int
    oldest_s: float


async def due(connection: Any, limit: int, put_off: bool) -> Due:
    """The meters that have waited longest, of those that were put off or of the others. Nothing is locked: settlement
    never waits for the detector."""
    meter_id, from_us, changes = await columns(connection, _DUE, limit, put_off)
    return Due(meter_id, unix_s(from_us), changes)


async def done(connection: Any, looked_at: Due) -> None:
    """These are due no more, but for those that changed meanwhile or are being changed."""
    await connection.execute(_DONE, looked_at.meter_id.tolist(), looked_at.changes.tolist())


async def put_off(connection: Any, meter_id: Ints) -> None:
    """These wait behind the others, but for those that are being changed: they are met again."""
    await connection.execute(_PUT_OFF, meter_id.tolist())


async def waiting(connection: Any) -> Waiting:
    return Waiting(*await connection.fetchrow(_WAITING))


async def load(connection: Any, meter_id: Ints) -> Known:
    """Of the meters, which are sorted."""
    states, day = np.zeros(len(meter_id), STATE), np.full(len(meter_id), UNKNOWN, np.int64)
    usable = np.zeros(len(meter_id), np.bool_)
    rows = await connection.fetch(_LOAD, meter_id.tolist())
    at = np.searchsorted(meter_id, np.array([row[0] for row in rows], np.int64))
    day[at] = [day_number_of(row[1]) for row in rows]
    usable[at] = [row[2] == VERSION and len(row[3]) == STATE.itemsize for row in rows]
    whole = [row[3] for row in rows if row[2] == VERSION and len(row[3]) == STATE.itemsize]
    states[at[usable[at]]] = np.frombuffer(b"".join(whole), STATE)
    return Known(states, day, usable)


async def save(connection: Any, meter_id: Ints, states: States) -> None:
    days = [as_date(day) for day in states["day"].tolist()]
    packed = states.tobytes()
    records = [packed[at : at + STATE.itemsize] for at in range(0, len(packed), STATE.itemsize)]
    await connection.execute(_SAVE, meter_id.tolist(), days, states["days"].tolist(), VERSION, records)


async def forget(connection: Any, meter_id: Ints) -> None:
    """They are learned anew when they are due again."""
    await connection.execute("DELETE FROM leak_states WHERE meter_id = ANY($1::bigint[])", meter_id.tolist())


async def known_meters(connection: Any, meter_id: Ints, first_days: int) -> frozenset[int]:
    """Which of the meters the detector has learned for so long that it says something of them."""
    return frozenset(row[0] for row in await connection.fetch(_KNOWN, meter_id.tolist(), first_days))


async def moved(connection: Any, meter_id: Ints, zone: ZoneInfo) -> dict[int, int]:
    """Meters that came from another service point, and the first whole local day where they are now: other people's
    habits say nothing of it."""
    rows = await connection.fetch(_MOVED, meter_id.tolist())
    return {row[0]: _day_after(row[1], zone) for row in rows}


def _day_after(at: datetime, zone: ZoneInfo) -> int:
    return day_number_of(at.astimezone(zone).date()) + 1
