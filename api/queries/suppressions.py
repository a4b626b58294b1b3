"""Windows in which no alert is raised: made by operators, ended by them before their time, all on record."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from api.audit import audit
from api.database import ReadPool, WritePool
from api.queries.paging import Page, check_limit, decode_cursor, page
from api.suppression_rules import Wanted, check
from metering.errors import ConflictError, NotFoundError


class SuppressionState(StrEnum):
    PLANNED = "planned"
    IN_FORCE = "in_force"
    OVER = "over"


@dataclass(frozen=True, slots=True)
class SuppressionRow:
    """For a meter (`serial`) or a zone with those below it. `kind` None: all kinds, or a prefix that ends with ':'."""

    suppression_id: int
    serial: str | None
    zone_code: str | None
    zone_name: str | None
    kind: str | None
    valid_from: datetime
    valid_to: datetime
    reason: str
    created_by: str
    created_at: datetime
    ended_by: str | None
    state: SuppressionState

    def __post_init__(self) -> None:
        object.__setattr__(self, "state", SuppressionState(self.state))


_ROWS = """
WITH rows AS (
    SELECT s.suppression_id, m.serial, z.code AS zone_code, z.name AS zone_name, s.kind, s.valid_from, s.valid_to,
        s.reason, s.created_by, s.created_at, s.ended_by,
        CASE WHEN s.valid_to <= $1 OR (s.ended_by IS NOT NULL AND s.valid_from > $1) THEN 'over'
             WHEN s.valid_from > $1 THEN 'planned' ELSE 'in_force' END AS state
    FROM alert_suppressions s LEFT JOIN meters m USING (meter_id) LEFT JOIN zones z USING (zone_id)
)
SELECT * FROM rows
"""
_LIST = f"""{_ROWS}
WHERE (cardinality($2::text[]) = 0 OR state = ANY($2)) AND ($3::bigint IS NULL OR suppression_id < $3)
ORDER BY suppression_id DESC LIMIT $4"""
_ONE = f"{_ROWS} WHERE suppression_id = $2"
_ADD = """
INSERT INTO alert_suppressions (meter_id, zone_id, kind, valid_from, valid_to, reason, created_by, created_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING suppression_id
"""
_END = """
UPDATE alert_suppressions SET valid_to = GREATEST($2, valid_from + INTERVAL '1 microsecond'), ended_by = $3
WHERE suppression_id = $1 AND valid_to > $2 AND ended_by IS NULL RETURNING valid_to
"""
"""One that has not begun is left with the shortest time there is: a window has a length, and stays on record."""


async def list_suppressions(
    pool: ReadPool, states: list[SuppressionState], now: datetime, *, limit: int = 100, cursor: str | None = None
) -> Page[SuppressionRow]:
    """Those in these states (none: in all), the newest first."""
    (before,) = decode_cursor(cursor, int) if cursor else (None,)
    wanted = [str(state) for state in states]
    rows = await pool.fetch(SuppressionRow, _LIST, now, wanted, before, check_limit(limit) + 1)
    return page(rows, limit, lambda row: [row.suppression_id])


async def get_suppression(pool: ReadPool, suppression_id: int, now: datetime) -> SuppressionRow:
    """Raises NotFoundError."""
    found = await pool.fetch_one(SuppressionRow, _ONE, now, suppression_id)
    if found is None:
        raise NotFoundError(f"there is no suppression {suppression_id}")
    return found


async def suppress(pool: WritePool, wanted: Wanted, *, actor: str, now: datetime) -> int:
    """From `valid_from` on nothing is raised; the id of the window. Alerts that are there stay. Raises RequestError,
    NotFoundError."""
    reason = check(wanted, now)
    async with pool.transaction() as connection:
        meter = zone = None
        if wanted.serial:
            meter = await connection.fetchval("SELECT meter_id FROM meters WHERE serial = $1", wanted.serial)
        else:
            zone = await connection.fetchval("SELECT zone_id FROM zones WHERE code = $1", wanted.zone)
        if meter is None and zone is None:
            named = f"meter has the serial {wanted.serial}" if wanted.serial else f"zone has the code {wanted.zone}"
            raise NotFoundError(f"no {named}")
        made: int = await connection.fetchval(
            _ADD, meter, zone, wanted.kind, wanted.valid_from, wanted.valid_to, reason, actor, now
        )
        detail = {
            "serial": wanted.serial, "zone": wanted.zone, "kind": wanted.kind, "reason": reason,
            "from": wanted.valid_from.isoformat(), "to": wanted.valid_to.isoformat(),
        }  # fmt: skip
        await audit(connection, actor, "alerts.suppress", str(made), detail)
    return made


async def end_suppression(pool: WritePool, suppression_id: int, *, actor: str, now: datetime) -> None:
    """Ends it at `now`, before its time. Raises NotFoundError, ConflictError (over already)."""
    async with pool.transaction() as connection:
        valid_to = await connection.fetchval(_END, suppression_id, now, actor)
        if valid_to is None:
            if not await connection.fetchval(
                "SELECT EXISTS (SELECT FROM alert_suppressions WHERE suppression_id = $1)", suppression_id
            ):
                raise NotFoundError(f"there is no suppression {suppression_id}")
            raise ConflictError("it is over already")
        await audit(
            connection, actor, "alerts.end_suppression", str(suppression_id), {"valid_to": valid_to.isoformat()}
        )
