"""What people say of a meter's readings: give one, take one away, take that back. Raw readings are never changed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from api.amendment_rules import check_index, check_reason, check_role
from api.audit import audit
from api.database import ReadPool, WritePool
from api.queries.amending import LOCK_METER, Said, take_back
from api.queries.paging import check_limit
from api.queries.windows import BEGINNING
from api.roles import Principal
from metering.errors import NotFoundError, RequestError
from metering.model import MeterId

AHEAD = timedelta(days=1)
"""As for readings: nothing lies further in the future."""


@dataclass(frozen=True, slots=True)
class AmendmentRow:
    """`index_ml` None: whatever was sent for `ts` does not count. In force while `withdrawn_at` is None."""

    amendment_id: int
    ts: datetime
    index_ml: int | None
    source: str
    """'person', or 'installation': the start index of a meter that was put in."""
    reason: str
    made_by: str
    made_at: datetime
    withdrawn_at: datetime | None
    withdrawn_by: str | None
    withdrawn_why: str | None


_LIST = """
SELECT amendment_id, ts, index_ml, source, reason, made_by, made_at, withdrawn_at, withdrawn_by, withdrawn_why
FROM amendments WHERE meter_id = $1 ORDER BY made_at DESC, amendment_id DESC LIMIT $2
"""
_METER = "SELECT meter_id, register_max_ml FROM meters WHERE serial = $1"
_IS_THERE = "SELECT EXISTS (SELECT FROM readings WHERE meter_id = $1 AND ts = $2)"
_REPLACE = """
UPDATE amendments SET withdrawn_at = $3, withdrawn_by = $4, withdrawn_why = 'replaced'
WHERE meter_id = $1 AND ts = $2 AND withdrawn_at IS NULL RETURNING amendment_id
"""
_ADD = """
INSERT INTO amendments (meter_id, ts, index_ml, source, reason, made_by, made_at)
VALUES ($1, $2, $3, 'person', $4, $5, $6) RETURNING amendment_id
"""
_WITHDRAW = """
UPDATE amendments a SET withdrawn_at = $3, withdrawn_by = $4, withdrawn_why = $5
FROM meters m
WHERE a.amendment_id = $1 AND m.meter_id = a.meter_id AND m.serial = $2 AND a.withdrawn_at IS NULL
RETURNING a.ts, a.index_ml
"""
_EXISTS = "SELECT EXISTS (SELECT FROM amendments JOIN meters USING (meter_id) WHERE amendment_id = $1 AND serial = $2)"
_SAID = Said("amendment", "withdraw_amendment", _WITHDRAW, _EXISTS)


async def list_amendments(pool: ReadPool, meter_id: MeterId, limit: int = 100) -> list[AmendmentRow]:
    """All versions, the newest first, withdrawn ones included."""
    return await pool.fetch(AmendmentRow, _LIST, meter_id, check_limit(limit))


async def amend_reading(
    pool: WritePool, who: Principal, serial: str, ts: datetime, index_ml: int | None, reason: str, now: datetime
) -> int:
    """From now on `index_ml` is what counts at that instant; None: nothing does. Returns the amendment's id.

    An amendment of the same instant is replaced, and stays on record. Settlement follows within seconds. Raises
    ForbiddenError, NotFoundError, RequestError.
    """
    check_role(who)
    text = check_reason(reason)
    if ts.tzinfo is None or ts.microsecond or not BEGINNING <= ts <= now + AHEAD:
        raise RequestError("an instant has whole seconds and an offset, and lies from 2010 to now")
    async with pool.transaction() as connection:
        await connection.execute(LOCK_METER, serial)
        meter = await connection.fetchrow(_METER, serial)
        if meter is None:
            raise NotFoundError(f"no meter {serial}")
        check_index(index_ml, meter["register_max_ml"])
        replaced = await connection.fetchval(_REPLACE, meter["meter_id"], ts, now, who.login)
        if index_ml is None and replaced is None and not await connection.fetchval(_IS_THERE, meter["meter_id"], ts):
            raise NotFoundError(f"meter {serial} has no reading at that instant")
        made: int = await connection.fetchval(_ADD, meter["meter_id"], ts, index_ml, text, who.login, now)
        detail = {"ts": ts.isoformat(), "index_ml": index_ml, "reason": text, "replaces": replaced, "id": made}
        await audit(connection, who.login, "amend_reading", serial, detail)
    return made


async def withdraw_amendment(
    pool: WritePool, who: Principal, serial: str, amendment_id: int, reason: str, now: datetime
) -> None:
    """What was sent counts again. Raises ForbiddenError, NotFoundError, ConflictError (withdrawn already)."""
    await take_back(pool, who, serial, _SAID, amendment_id, reason, now)
