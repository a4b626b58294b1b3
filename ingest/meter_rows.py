"""What the database says of meters and of people's corrections to their readings, as arrays."""

from __future__ import annotations

from typing import Any

import numpy as np

from metering.consumption import Amendments, Bools, Ints

from .columns import columns, unix_s
from .meters import Meters

_METERS = """
SELECT string_agg(int8send(meter_id), ''), string_agg(int8send(dn_mm::bigint), ''),
       string_agg(int8send(q3_l_h::bigint), ''), string_agg(int8send(register_max_ml), ''),
       string_agg(int8send(pulse_ml), '')
FROM (SELECT * FROM meters WHERE meter_id = ANY((SELECT $1::bigint[])::bigint[]) ORDER BY meter_id) known"""

_AMENDMENTS = """
SELECT string_agg(int8send(meter_id), ''), string_agg(timestamptz_send(ts), ''),
       string_agg(int8send(COALESCE(index_ml, -1)), ''),
       string_agg(int8send((source = 'person')::integer::bigint), ''),
       string_agg(int8send((withdrawn_at IS NULL)::integer::bigint), '')
FROM (SELECT * FROM amendments WHERE meter_id = ANY((SELECT $1::bigint[])::bigint[]) ORDER BY meter_id, ts) found"""


_BULK = "SELECT DISTINCT meter_id FROM zone_flows WHERE meter_id = ANY((SELECT $1::bigint[])::bigint[])"


async def bulk_meters(connection: Any, meter_id: Ints) -> frozenset[int]:
    """Those that count water into or out of a district, or once did: behind them is no customer, and water never rests.
    What is lost there is for the district's balance to say."""
    return frozenset(row[0] for row in await connection.fetch(_BULK, np.unique(meter_id).tolist()))


async def meters_of(connection: Any, meter_id: Ints) -> Meters:
    """Those of the meters that exist."""
    return Meters(*await columns(connection, _METERS, meter_id.tolist()))


async def amendments_of(connection: Any, meter_id: Ints) -> tuple[Amendments, Bools]:
    """All amendments ever made to readings of these meters, and which of them are in force; by meter's key."""
    meters, us, index_ml, by_person, in_force = await columns(connection, _AMENDMENTS, meter_id.tolist())
    return Amendments(meters, unix_s(us), index_ml, by_person != 0), in_force != 0
