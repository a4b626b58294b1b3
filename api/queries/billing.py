"""Billing periods: closed sets with an index at local midnight per installation, and the ledger of later changes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import asyncpg

from api.audit import audit
from api.billing_rules import check_days, check_role, checked_name
from api.database import ReadPool, WritePool
from api.queries.accounting import midnight
from api.reasons import checked_reason
from api.roles import Principal
from metering.billing import CLOSING_LOCK, REPORTED_WITHIN
from metering.errors import ConflictError, NotFoundError

MAX_PERIODS = 500
REASON_MISSING = "give the reason: it goes into the audit log"
CLOSING_MEMORY_MB = 64
"""Of each step that sorts or gathers lines (work_mem); more goes to temporary files."""


@dataclass(frozen=True, slots=True)
class PeriodRow:
    name: str
    first_day: date
    last_day: date
    state: str
    """'open' or 'closed'."""
    opened_by: str
    opened_at: datetime
    closed_by: str | None
    closed_at: datetime | None
    entries: int
    """Installations billed; 0 while it is open."""
    billed_ml: int
    corrections: int
    corrected_ml: int
    """Sum of the corrections: what is known now is billed_ml + corrected_ml."""


_PERIODS = """
SELECT p.name, p.first_day, p.last_day, p.state, p.opened_by, p.opened_at, p.closed_by, p.closed_at,
       p.entries, p.billed_ml,
       COALESCE(c.corrections, 0) AS corrections, COALESCE(c.corrected_ml, 0)::bigint AS corrected_ml
FROM billing_periods p
LEFT JOIN LATERAL (SELECT count(*) AS corrections, sum(difference_ml) AS corrected_ml FROM billing_corrections
                   WHERE period_id = p.period_id) c ON true
WHERE $1::text IS NULL OR p.name = $1
ORDER BY p.first_day DESC LIMIT $2
"""
_OPEN = "INSERT INTO billing_periods (name, first_day, last_day, opened_by, opened_at) VALUES ($1, $2, $3, $4, $5)"
_LOCKED = """
SELECT period_id, first_day, last_day, state FROM billing_periods WHERE name = $1 FOR NO KEY UPDATE NOWAIT
"""
_BEGIN = f"""
SET LOCAL statement_timeout = 0; SET LOCAL work_mem = '{CLOSING_MEMORY_MB}MB';
SELECT pg_advisory_xact_lock({CLOSING_LOCK})
"""
_BILL = """
INSERT INTO billing_entries (period_id, installation_id, meter_id, service_point_id, multiplier, first_day, last_day,
    start_index_ml, end_index_ml, consumption_ml, billed_ml, excluded_ml, quality, reasons, complete, days,
    measured_days, interpolated_days, estimated_days, edited_days, meter_index_ml)
SELECT $1, l.installation_id, l.meter_id, l.service_point_id, l.multiplier, l.first_day, l.last_day,
       l.start_index_ml, l.end_index_ml, l.consumption_ml, l.billed_ml, l.excluded_ml, l.quality,
       CASE WHEN abs(said.index_ml - l.end_index_ml) > said.pulse_ml AND 'sum_mismatch' <> ALL (l.reasons)
            THEN array_append(l.reasons, 'sum_mismatch') ELSE l.reasons END,
       l.complete, l.days, l.measured_days, l.interpolated_days, l.estimated_days, l.edited_days, said.index_ml
FROM billing_lines($2, $3, $4, NULL) l
LEFT JOIN (
    SELECT DISTINCT ON (r.meter_id) r.meter_id, m.pulse_ml, (r.extra->>'settlement_index_ml')::bigint AS index_ml
    FROM reports r JOIN meters m USING (meter_id)
    WHERE r.received_at >= $5 AND r.received_at < $6 AND r.extra->>'settlement_index_ml' ~ '^[0-9]{1,17}$'
    ORDER BY r.meter_id, r.received_at DESC) said ON said.meter_id = l.meter_id AND l.last_day = $3
"""
_CARRY = "UPDATE billing_corrections SET carried_to = $1 WHERE carried_to IS NULL"
_CLOSE = """
UPDATE billing_periods
SET state = 'closed', closed_by = $2, closed_at = $3, entries = e.entries, billed_ml = e.billed_ml
FROM (SELECT count(*) AS entries, COALESCE(sum(billed_ml), 0)::bigint AS billed_ml FROM billing_entries
      WHERE period_id = $1) e
WHERE period_id = $1
"""
_DROP = "DELETE FROM billing_periods WHERE period_id = $1"


async def list_periods(pool: ReadPool) -> list[PeriodRow]:
    """The newest first."""
    return await pool.fetch(PeriodRow, _PERIODS, None, MAX_PERIODS)


async def get_period(pool: ReadPool, name: str) -> PeriodRow:
    """Raises NotFoundError."""
    found = await pool.fetch_one(PeriodRow, _PERIODS, name, 1)
    if found is None:
        raise NotFoundError(f"no billing period {name}")
    return found


async def open_period(pool: WritePool, who: Principal, name: str, first: date, last: date, now: datetime) -> None:
    """Names a stretch of local days, both included. Raises ForbiddenError, RequestError, ConflictError (the name is
    taken, or days belong to another period)."""
    check_role(who)
    name = checked_name(name)
    check_days(first, last)
    try:
        async with pool.transaction() as connection:
            await connection.execute(_OPEN, name, first, last, who.login, now)
            await audit(connection, who.login, "open_billing_period", name, {"first": str(first), "last": str(last)})
    except asyncpg.UniqueViolationError as error:
        raise ConflictError(f"there is a billing period {name} already") from error
    except asyncpg.ExclusionViolationError as error:
        raise ConflictError("some of these days belong to another billing period") from error


async def drop_period(pool: WritePool, who: Principal, name: str, reason: str) -> None:
    """Takes back an open period, whose days or name were wrong. `reason` goes into the audit log.

    Raises ForbiddenError, RequestError, NotFoundError, ConflictError (it is closed: that stays for good).
    """
    check_role(who)
    text = checked_reason(reason, missing=REASON_MISSING)
    async with pool.transaction() as connection:
        period = await _locked(connection, name)
        await connection.execute(_DROP, period["period_id"])
        detail = {"first": str(period["first_day"]), "last": str(period["last_day"]), "reason": text}
        await audit(connection, who.login, "drop_billing_period", name, detail)


async def close_period(
    pool: WritePool, who: Principal, name: str, zone: ZoneInfo, settlement_day: int, now: datetime, reason: str
) -> None:
    """Writes down what each installation took, for good; settlement waits meanwhile. Corrections of earlier periods
    that were not billed yet are carried to this one. `reason` goes into the audit log.

    Raises ForbiddenError, RequestError, NotFoundError, ConflictError (closed already, or its last day is not over).
    """
    check_role(who)
    text = checked_reason(reason, missing=REASON_MISSING)
    async with pool.transaction() as connection:
        period = await _locked(connection, name)
        period_id, first, last = period["period_id"], period["first_day"], period["last_day"]
        end = midnight(last + timedelta(days=1), zone)
        if now < end:
            raise ConflictError(f"the last day of {name} is not over")
        await connection.execute(_BEGIN)
        freezes = (last + timedelta(days=1)).day == settlement_day
        told_until = end + REPORTED_WITHIN if freezes else end
        billed = await connection.execute(_BILL, period_id, first, last, zone.key, end, told_until)
        carried = await connection.execute(_CARRY, period_id)
        await connection.execute(_CLOSE, period_id, who.login, now)
        detail = {"entries": _count(billed), "carried_corrections": _count(carried), "reason": text}
        await audit(connection, who.login, "close_billing_period", name, detail)


async def _locked(connection: Any, name: str) -> Any:
    """An open period, which nobody else closes or drops in this transaction. Raises NotFoundError, ConflictError."""
    try:
        period = await connection.fetchrow(_LOCKED, name)
    except asyncpg.LockNotAvailableError as error:
        raise ConflictError(f"somebody else is closing or dropping {name} just now") from error
    if period is None:
        raise NotFoundError(f"no billing period {name}")
    if period["state"] != "open":
        raise ConflictError(f"{name} is closed already")
    return period


def _count(status: str) -> int:
    return int(status.rpartition(" ")[2])
