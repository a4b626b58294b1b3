"""Dead letters: reports that could not be taken, kept with their raw bytes and the reason."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from api.database import ReadPool
from api.queries.paging import Page, check_limit, decode_cursor, page
from metering.errors import NotFoundError


@dataclass(frozen=True, slots=True)
class DeadLetterRow:
    dead_letter_id: int
    report_id: str
    received_at: datetime
    device: str
    door: str
    authentication: str
    source: str
    content_format: int
    reason: str
    """A short stable word, to filter by."""
    message: str
    """What was seen, for a person."""
    payload_hex: str
    replayed_at: datetime | None
    """None: still waits for a person or a better decoder."""
    attempts: int


@dataclass(frozen=True, slots=True)
class ReasonCount:
    reason: str
    waiting: int


_SELECT = """
SELECT dead_letter_id, report_id::text AS report_id, received_at, device, door, authentication, source, content_format,
    reason, message, encode(payload, 'hex') AS payload_hex, replayed_at, attempts
FROM dead_letters
"""

_LIST_WHERE = """
WHERE ($1::boolean IS NULL OR (replayed_at IS NULL) = $1)
  AND ($2::text IS NULL OR reason = $2)
  AND ($3::text IS NULL OR device = $3)
  AND ($4::timestamptz IS NULL OR (received_at, dead_letter_id) < ($4, $5::bigint))
ORDER BY received_at DESC, dead_letter_id DESC
LIMIT $6
"""

_LIST = _SELECT + _LIST_WHERE

_ONE = _SELECT + "WHERE dead_letter_id = $1"

_REASONS = """
SELECT reason, count(*) AS waiting FROM dead_letters WHERE replayed_at IS NULL
GROUP BY reason ORDER BY waiting DESC, reason LIMIT 100
"""


async def list_dead_letters(
    pool: ReadPool,
    *,
    waiting: bool | None = True,
    reason: str | None = None,
    device: str | None = None,
    limit: int = 50,
    cursor: str | None = None,
) -> Page[DeadLetterRow]:
    """Newest first. `waiting`: True those not replayed yet, False those replayed, None both."""
    before, last_id = decode_cursor(cursor, datetime, int) if cursor else (None, 0)
    rows = await pool.fetch(
        DeadLetterRow, _LIST, waiting, reason or None, device or None, before, last_id, check_limit(limit) + 1
    )
    return page(rows, limit, lambda row: [row.received_at, row.dead_letter_id])


async def get_dead_letter(pool: ReadPool, dead_letter_id: int) -> DeadLetterRow:
    """Raises NotFoundError."""
    found = await pool.fetch_one(DeadLetterRow, _ONE, dead_letter_id)
    if found is None:
        raise NotFoundError(f"there is no dead letter {dead_letter_id}")
    return found


async def count_reasons(pool: ReadPool) -> list[ReasonCount]:
    """Waiting dead letters by reason, most frequent first."""
    return await pool.fetch(ReasonCount, _REASONS)
