"""Devices by the meter they are on now."""

from __future__ import annotations

from typing import Any

import asyncpg

from metering.errors import NotFoundError

ON_METER = """
JOIN installations i ON i.device_id = d.device_id AND i.valid_to IS NULL
JOIN meters m ON m.meter_id = i.meter_id
WHERE m.serial = $1
"""
"""Of devices d: the one that is on the meter $1."""

NAMED = """
SELECT device_id FROM devices WHERE device = $1 OR imei = $1
UNION SELECT i.device_id FROM meters m JOIN installations i ON i.meter_id = m.meter_id AND i.valid_to IS NULL
WHERE m.serial = $1
"""
"""Whose name, IMEI or meter's serial is $1."""

_DEVICE = "SELECT d.device_id, d.device FROM devices d" + ON_METER  # noqa: S608 - of ours


async def device_on(connection: Any, serial: str) -> asyncpg.Record:
    """Its `device_id` and `device`. Raises NotFoundError."""
    found = await connection.fetchrow(_DEVICE, serial)
    if found is None:
        raise NotFoundError(f"no meter that is installed has the serial {serial}")
    return found
