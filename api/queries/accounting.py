"""Accounting: what became of every report, per door and local day (DESIGN sections 3.6 and 5.2).

received = stored + partial + duplicate + dead-lettered holds in the accounting table by construction; the recount
counts the report rows themselves, so that the page shows whether table and rows agree. What is in the stream and not
yet taken is `api.stream.InFlightReader`'s to say.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from api.database import ReadPool
from metering.errors import RequestError

MAX_DAYS = 400
MAX_RECOUNT_DAYS = 7
"""A recount reads every report row of its days."""


@dataclass(frozen=True, slots=True)
class AccountingRow:
    """`repeats`: answered by the gateway from memory, not in the stream, not part of `received`. `recounted`: report
    rows of the day with that door; None when the day was not recounted."""

    door: str
    day: date
    received: int
    stored: int
    partial: int
    duplicate: int
    dead_lettered: int
    repeats: int
    recounted: int | None = None
    rows_agree: bool | None = None
    """Each outcome's rows equal its column; None when the day was not recounted."""

    @property
    def adds_up(self) -> bool:
        """received = stored + partial + duplicate + dead-lettered, and the rows agree where they were counted."""
        ended = self.stored + self.partial + self.duplicate + self.dead_lettered
        return self.received == ended and self.rows_agree is not False


_ACCOUNTING = """
WITH counted AS (
    SELECT door, day, received, stored, partial, duplicate, dead_lettered, repeats FROM accounting
    WHERE day >= $1 AND day <= $2
), recounted AS (
    SELECT door, (received_at AT TIME ZONE $5::text)::date AS day, count(*) AS received,
        count(*) FILTER (WHERE outcome = 'stored') AS stored,
        count(*) FILTER (WHERE outcome = 'partial') AS partial,
        count(*) FILTER (WHERE outcome = 'duplicate') AS duplicate,
        count(*) FILTER (WHERE outcome = 'dead_lettered') AS dead_lettered
    FROM reports WHERE received_at >= $3 AND received_at < $4 GROUP BY 1, 2
)
SELECT COALESCE(c.door, r.door) AS door, COALESCE(c.day, r.day) AS day, COALESCE(c.received, 0) AS received,
    COALESCE(c.stored, 0) AS stored, COALESCE(c.partial, 0) AS partial, COALESCE(c.duplicate, 0) AS duplicate,
    COALESCE(c.dead_lettered, 0) AS dead_lettered, COALESCE(c.repeats, 0) AS repeats,
    COALESCE(r.received, 0) AS recounted,
    (COALESCE(c.stored, 0), COALESCE(c.partial, 0), COALESCE(c.duplicate, 0), COALESCE(c.dead_lettered, 0))
        = (COALESCE(r.stored, 0), COALESCE(r.partial, 0), COALESCE(r.duplicate, 0), COALESCE(r.dead_lettered, 0))
        AS rows_agree
FROM counted c FULL JOIN recounted r ON r.door = c.door AND r.day = c.day
ORDER BY day DESC, door
"""


async def list_accounting(
    pool: ReadPool, first: date, last: date, zone: ZoneInfo, *, recount_days: int = 2
) -> list[AccountingRow]:
    """Rows of the local days first..last, newest first, the newest `recount_days` of them recounted from the rows.

    Both sides come from one statement, hence from one snapshot: ingest may commit meanwhile and they still agree.
    """
    if not 0 <= (last - first).days < MAX_DAYS:
        raise RequestError(f"a period of 1 to {MAX_DAYS} days is needed, its first day before its last")
    days = max(0, min(recount_days, MAX_RECOUNT_DAYS, (last - first).days + 1))
    recount_from = last - timedelta(days=days - 1)
    rows = await pool.fetch(
        AccountingRow, _ACCOUNTING, first, last, midnight(recount_from, zone),
        midnight(last + timedelta(days=1), zone) if days else midnight(recount_from, zone), zone.key,
    )  # fmt: skip
    return [row if row.day >= recount_from else _not_recounted(row) for row in rows]


def midnight(day: date, zone: ZoneInfo) -> datetime:
    """The first instant of a local day."""
    return datetime(day.year, day.month, day.day, tzinfo=zone)


def _not_recounted(row: AccountingRow) -> AccountingRow:
    return AccountingRow(
        row.door, row.day, row.received, row.stored, row.partial, row.duplicate, row.dead_lettered, row.repeats
    )
