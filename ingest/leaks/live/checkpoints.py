"""Earlier states of meters in the database, to go on from when a report comes late: SLOTS a meter, EVERY_DAYS apart.

A state depends on no reading that is settled from its midnight on: what comes late leaves the checkpoints up to its day
as they were, and takes away those after it. Going on from one gives what learning from the first reading on would give.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ingest.leaks.habits import STATE, VERSION, States
from metering.consumption import Bools, Ints

from .local_hours import as_date

EVERY_DAYS = 10
SLOTS = 3
"""Whatever is up to 20 days late finds one; it is 10 days before the late day at most while days come in order."""

_KEEP = """
INSERT INTO leak_checkpoints (meter_id, slot, day, version, record)
SELECT * FROM unnest($1::bigint[], $2::smallint[], $3::date[], $4::smallint[], $5::bytea[])
ON CONFLICT (meter_id, slot) DO UPDATE SET day = EXCLUDED.day, version = EXCLUDED.version, record = EXCLUDED.record"""

_DROP = """
DELETE FROM leak_checkpoints c USING unnest($1::bigint[], $2::date[]) AS late (meter_id, day)
WHERE c.meter_id = late.meter_id AND c.day > late.day"""

_NEWEST = """
SELECT DISTINCT ON (meter_id) meter_id, record FROM leak_checkpoints
WHERE meter_id = ANY($1::bigint[]) AND version = $2 AND length(record) = $3 ORDER BY meter_id, day DESC"""


async def keep(connection: Any, meter_id: Ints, states: States, day_before: Ints) -> None:
    """Of the meters whose stretch of EVERY_DAYS is another than that of `day_before`; different meters' begin on
    different days, so that the work is spread. The states themselves must be saved."""
    stretch = (states["day"] + meter_id) // EVERY_DAYS
    new = stretch != (day_before + meter_id) // EVERY_DAYS
    if new.any():
        records = [state.tobytes() for state in states[new]]
        days = [as_date(day) for day in states["day"][new].tolist()]
        slots = (stretch[new] % SLOTS).tolist()
        await connection.execute(_KEEP, meter_id[new].tolist(), slots, days, [VERSION] * len(days), records)


async def before(connection: Any, meter_id: Ints, late_day: Ints) -> tuple[Bools, States]:
    """The newest state of each meter that readings of `late_day` and later change nothing of, and whether there is one.
    Those that they do change are forgotten. Meters are sorted."""
    there, states = np.zeros(len(meter_id), np.bool_), np.zeros(len(meter_id), STATE)
    if len(meter_id):
        ids = meter_id.tolist()
        await connection.execute(_DROP, ids, [as_date(day) for day in late_day.tolist()])
        for one, record in await connection.fetch(_NEWEST, ids, VERSION, STATE.itemsize):
            at = np.searchsorted(meter_id, one)
            there[at] = True
            states[at] = np.frombuffer(record, STATE)[0]
    return there, states
