"""Zones and bulk meters that people send as files."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from api.audit import audit
from api.database import WritePool
from api.roles import Principal
from metering.zones.rows import Features, FlowRow
from metering.zones.take import import_features, import_flows


@dataclass(frozen=True, slots=True)
class Imported:
    """What was taken of a file."""

    zones: int = 0
    meters: int = 0
    flows: int = 0


async def take_flows(pool: WritePool, who: Principal, rows: list[FlowRow], body: bytes) -> Imported:
    """All rows or none. Raises ImportRowsError."""
    async with pool.transaction() as connection:
        taken = Imported(flows=await import_flows(connection, rows))
        await audit(connection, who.login, "districts.flows", _digest(body), {"flows": taken.flows})
    return taken


async def take_features(pool: WritePool, who: Principal, features: Features, body: bytes) -> Imported:
    """All features or none. Raises ImportRowsError."""
    async with pool.transaction() as connection:
        zones, meters = await import_features(connection, features)
        await audit(connection, who.login, "districts.map", _digest(body), {"zones": zones, "meters": meters})
    return Imported(zones, meters)


def _digest(body: bytes) -> str:
    """Names the file in the log."""
    return f"sha256:{hashlib.sha256(body).hexdigest()[:16]}"
