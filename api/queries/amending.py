"""What amendments of readings and edits of days share: one lock for a meter, and taking back what was said."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

from api.amendment_rules import check_reason, check_role
from api.audit import audit
from api.database import WritePool
from api.queries.paging import INT64_MAX
from api.roles import Principal
from metering.errors import ConflictError, NotFoundError

LOCK_METER = "SELECT pg_advisory_xact_lock(hashtext('nbwater amendments of ' || $1))"
"""Of the serial $1: two people at once would each see nothing in force."""


@dataclass(frozen=True, slots=True)
class Said:
    """One kind of what people say of a meter, for `take_back`."""

    noun: str
    action: str
    """In the audit log."""
    withdraw: str
    """Ends $1 of the meter $2 at $3 by $4 because of $5, if it is in force, and returns what it said of what."""
    exists: str
    """Whether the meter $2 has $1, in force or not."""


async def take_back(
    pool: WritePool, who: Principal, serial: str, said: Said, number: int, reason: str, now: datetime
) -> None:
    """It does not count any more. Raises ForbiddenError, RequestError (the reason), NotFoundError, ConflictError
    (withdrawn already)."""
    check_role(who)
    text = check_reason(reason)
    missing = NotFoundError(f"meter {serial} has no {said.noun} {number}")
    if not 0 < number <= INT64_MAX:
        raise missing
    async with pool.transaction() as connection:
        row = await connection.fetchrow(said.withdraw, number, serial, now, who.login, text)
        if row is None:
            if not await connection.fetchval(said.exists, number, serial):
                raise missing
            raise ConflictError("it is withdrawn already")
        what = {name: value.isoformat() if isinstance(value, date) else value for name, value in row.items()}
        await audit(connection, who.login, said.action, serial, {**what, "reason": text, "id": number})
