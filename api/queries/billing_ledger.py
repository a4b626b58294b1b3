"""The ledger of corrections: what turned out different after closing, and with which period it is billed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime

from api.database import ReadPool
from api.queries.billing import get_period
from api.queries.paging import MAX_LIMIT, Page, check_limit, decode_cursor, page


@dataclass(frozen=True, slots=True)
class CorrectionRow:
    correction_id: int
    period: str
    """The closed period that it corrects."""
    service_point_id: int
    serial: str
    installation_id: int
    found_at: datetime
    before_ml: int
    after_ml: int
    difference_ml: int
    quality: str
    reasons: list[str]
    carried_to: str | None
    """The period with which the difference is billed; None: not yet."""


_CORRECTIONS = """
SELECT c.correction_id, p.name AS period, i.service_point_id, m.serial, c.installation_id, c.found_at, c.before_ml,
       c.after_ml, c.difference_ml, c.quality, c.reasons, carried.name AS carried_to
FROM billing_corrections c
JOIN billing_periods p USING (period_id)
JOIN installations i USING (installation_id)
JOIN meters m ON m.meter_id = c.meter_id
LEFT JOIN billing_periods carried ON carried.period_id = c.carried_to
WHERE c.{which} = (SELECT period_id FROM billing_periods WHERE name = $1) AND c.correction_id > $2
ORDER BY c.correction_id LIMIT $3
"""
_OF = _CORRECTIONS.format(which="period_id")
_CARRIED = _CORRECTIONS.format(which="carried_to")
"""The period is looked up first: joined by its name, all of its corrections would be sorted for each page."""


async def list_corrections(
    pool: ReadPool, name: str, limit: int = 100, cursor: str | None = None, carried: bool = False
) -> Page[CorrectionRow]:
    """The ledger of a period, oldest first; `carried`: the corrections of earlier periods that are billed with it.

    Raises NotFoundError.
    """
    await get_period(pool, name)
    (after,) = decode_cursor(cursor, int) if cursor else (0,)
    rows = await pool.fetch(CorrectionRow, _CARRIED if carried else _OF, name, after, check_limit(limit) + 1)
    return page(rows, limit, lambda row: [row.correction_id])


async def pages_of_corrections(pool: ReadPool, name: str, carried: bool) -> AsyncIterator[list[CorrectionRow]]:
    """All of them; memory holds one page. Raises NotFoundError before the first."""
    cursor = None
    while True:
        found = await list_corrections(pool, name, MAX_LIMIT, cursor, carried)
        yield found.items
        cursor = found.next_cursor
        if cursor is None:
            return
