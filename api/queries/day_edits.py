"""What people say of a day's volume as such: give another, void it, take that back. Readings are never changed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from api.amendment_rules import check_reason, check_role
from api.audit import audit
from api.database import ReadPool, WritePool
from api.queries.accounting import midnight
from api.queries.amending import LOCK_METER, Said, take_back
from api.queries.paging import check_limit
from api.roles import Principal
from metering.consumption import HOUR_S, Q4_PER_Q3_MILLI
from metering.errors import NotFoundError, RequestError
from metering.model import MeterId


@dataclass(frozen=True, slots=True)
class DayEditRow:
    """`volume_ml` None: nothing of that day counts. In force while `withdrawn_at` is None."""

    edit_id: int
    day: date
    volume_ml: int | None
    """Times the multiplier of its installation, as volumes are shown and billed."""
    reason: str
    made_by: str
    made_at: datetime
    withdrawn_at: datetime | None
    withdrawn_by: str | None
    withdrawn_why: str | None


_MULTIPLIER = """
COALESCE((SELECT i.multiplier FROM installations i WHERE i.meter_id = {meter} AND i.valid_from < {end}
          ORDER BY i.valid_from DESC, i.installation_id DESC LIMIT 1), 1)"""
_LIST = f"""
SELECT edit_id, day, volume_ml * {_MULTIPLIER.format(meter="d.meter_id", end="(d.day + 1)::timestamp AT TIME ZONE $3")}
       AS volume_ml, reason, made_by, made_at, withdrawn_at, withdrawn_by, withdrawn_why
FROM day_edits d WHERE meter_id = $1 ORDER BY made_at DESC, edit_id DESC LIMIT $2
"""  # noqa: S608 - of ours
_METER = f"""
SELECT m.meter_id, m.q3_l_h, {_MULTIPLIER.format(meter="m.meter_id", end="$3")} AS multiplier,
       EXISTS (SELECT FROM settled_days d WHERE d.meter_id = m.meter_id AND d.day = $2) AS is_settled
FROM meters m WHERE serial = $1
"""  # noqa: S608 - of ours
_REPLACE = """
UPDATE day_edits SET withdrawn_at = $3, withdrawn_by = $4, withdrawn_why = 'replaced'
WHERE meter_id = $1 AND day = $2 AND withdrawn_at IS NULL RETURNING edit_id
"""
_ADD = """
INSERT INTO day_edits (meter_id, day, begins_at, volume_ml, reason, made_by, made_at)
VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING edit_id
"""
_WITHDRAW = """
UPDATE day_edits d SET withdrawn_at = $3, withdrawn_by = $4, withdrawn_why = $5
FROM meters m
WHERE d.edit_id = $1 AND m.meter_id = d.meter_id AND m.serial = $2 AND d.withdrawn_at IS NULL
RETURNING d.day, d.volume_ml
"""
_EXISTS = "SELECT EXISTS (SELECT FROM day_edits JOIN meters USING (meter_id) WHERE edit_id = $1 AND serial = $2)"
_SAID = Said("edit", "withdraw_day_edit", _WITHDRAW, _EXISTS)


async def list_day_edits(pool: ReadPool, meter_id: MeterId, zone: ZoneInfo, limit: int = 100) -> list[DayEditRow]:
    """All versions, the newest first, withdrawn ones included."""
    return await pool.fetch(DayEditRow, _LIST, meter_id, check_limit(limit), zone.key)


async def edit_day(
    pool: WritePool, who: Principal, serial: str, day: date, volume_ml: int | None, reason: str, zone: ZoneInfo,
    now: datetime,
) -> int:  # fmt: skip
    """From now on the day's volume is `volume_ml` (as shown: times the multiplier); None: nothing of it counts.

    An edit of the same day is replaced, and stays on record. Settlement follows within seconds, and with it the sums,
    and the ledger where the day was billed. Returns the edit's id. Raises ForbiddenError, NotFoundError (no such meter,
    or no reading reaches that day), RequestError.
    """
    check_role(who)
    text = check_reason(reason)
    if day > now.astimezone(zone).date():
        raise RequestError("that day is not over")
    begins_at, ends_at = midnight(day, zone), midnight(day + timedelta(days=1), zone)
    if ends_at > now:
        raise RequestError("that day is not over")
    async with pool.transaction() as connection:
        await connection.execute(LOCK_METER, serial)
        meter = await connection.fetchrow(_METER, serial, day, ends_at)
        if meter is None:
            raise NotFoundError(f"no meter {serial}")
        if not meter["is_settled"]:
            raise NotFoundError("no reading reaches that day: give the index at its midnights instead")
        hours = (ends_at.timestamp() - begins_at.timestamp()) / HOUR_S
        register_ml = _of_register(volume_ml, meter["multiplier"], int(meter["q3_l_h"] * Q4_PER_Q3_MILLI * hours))
        replaced = await connection.fetchval(_REPLACE, meter["meter_id"], day, now, who.login)
        made: int = await connection.fetchval(
            _ADD, meter["meter_id"], day, begins_at, register_ml, text, who.login, now
        )
        detail = {"day": str(day), "volume_ml": volume_ml, "reason": text, "replaces": replaced, "id": made}
        await audit(connection, who.login, "edit_day", serial, detail)
    return made


def _of_register(volume_ml: int | None, multiplier: int, most_ml: int) -> int | None:
    if volume_ml is None:
        return None
    if volume_ml % multiplier:
        raise RequestError(f"a volume of this meter is a multiple of {multiplier} ml")
    if not 0 <= volume_ml // multiplier <= most_ml:
        raise RequestError(f"this meter lets 0 to {most_ml * multiplier} ml through in a day")
    return volume_ml // multiplier


async def withdraw_day_edit(
    pool: WritePool, who: Principal, serial: str, edit_id: int, reason: str, now: datetime
) -> None:
    """What readings say counts again. Raises ForbiddenError, NotFoundError, ConflictError (withdrawn already)."""
    await take_back(pool, who, serial, _SAID, edit_id, reason, now)
