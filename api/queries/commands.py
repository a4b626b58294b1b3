"""Commands to meters as people see them: the list, one with its life, and those that wait for somebody's approval."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from api.database import ReadPool
from api.queries.paging import Page, check_limit, decode_cursor, page
from metering.command_arguments import kind_name, show_arguments
from metering.commands import (
    CommandKind,
    CommandState,
    Recall,
    arguments_from_json,
    database_id,
    travelling_id,
)
from metering.errors import NotFoundError

MAX_EVENTS = 200


@dataclass(frozen=True, slots=True)
class CommandFilter:
    """`states` empty: all. `serial`: of the meter."""

    states: Sequence[CommandState] = ()
    kind: CommandKind | None = None
    serial: str | None = None
    campaign_id: int | None = None


@dataclass(frozen=True, slots=True)
class CommandRow:
    """`command_id` as it travels, 16 hexadecimal digits. `handovers`: how often it was sent so far. `recall`: of one
    that was cancelled while an operator's platform had it in its own queue, whether that gave it back."""

    command_id: str
    serial: str | None
    device: str
    kind: str
    arguments: dict[str, Any]
    state: CommandState
    reason: str
    filed_by: str
    filed_at: datetime
    approved_by: str | None
    approved_at: datetime | None
    expires_at: datetime
    handed_over_at: datetime | None
    handovers: int
    ended_at: datetime | None
    campaign_id: int | None
    recall: Recall | None


@dataclass(frozen=True, slots=True)
class CommandEventRow:
    """`actor`: a login, the door, 'meter' or 'platform'."""

    at: datetime
    state: str
    actor: str
    detail: str


@dataclass(frozen=True, slots=True)
class CommandDetail:
    command: CommandRow
    events: list[CommandEventRow]
    """Oldest first."""


# recall: the last word of each platform that had it; the least of them is 'not_recalled' where any kept it.
_SELECT = """
SELECT c.command_id, m.serial, d.device, c.kind, c.arguments, c.state, c.reason, c.filed_by, c.filed_at, c.approved_by,
    c.approved_at, c.expires_at, c.handed_over_at, c.handovers, c.ended_at, c.campaign_id,
    CASE WHEN c.state = 'cancelled' THEN (
        SELECT min(last.state) FROM (
            SELECT DISTINCT ON (e.actor) e.state FROM command_events e
            WHERE e.command_id = c.command_id AND e.state IN ('recalled', 'not_recalled')
            ORDER BY e.actor, e.event_id DESC) last) END AS recall
FROM commands c
JOIN devices d ON d.device_id = c.device_id
LEFT JOIN meters m ON m.meter_id = c.meter_id
"""
_WHERE = """
WHERE ($1::text[] IS NULL OR c.state = ANY($1))
  AND ($2::smallint IS NULL OR c.kind = $2)
  AND ($3::text IS NULL OR c.meter_id = (SELECT meter_id FROM meters WHERE serial = $3))
  AND ($4::bigint IS NULL OR c.campaign_id = $4)
  AND ($5::timestamptz IS NULL OR (c.filed_at, c.command_id) < ($5, $6::bigint))
ORDER BY c.filed_at DESC, c.command_id DESC
LIMIT $7
"""
_LIST = _SELECT + _WHERE
_ONE = _SELECT + "WHERE c.command_id = $1"
_EVENTS = """
SELECT at, state, actor, detail FROM command_events WHERE command_id = $1 ORDER BY at, event_id LIMIT $2
"""


def id_of(text: str) -> int:
    """The database's key of an id as people write it. Raises NotFoundError for what can be none."""
    try:
        found = database_id(bytes.fromhex(text))
    except ValueError:
        found = None
    if found is None:
        raise NotFoundError(f"there is no command {text[:32]}")
    return found


async def list_commands(
    pool: ReadPool, wanted: CommandFilter, *, limit: int = 50, cursor: str | None = None
) -> Page[CommandRow]:
    """Those filed last come first."""
    before = decode_cursor(cursor, datetime, int) if cursor else (None, 0)
    records = await pool.records(
        _LIST,
        [str(state) for state in wanted.states] or None,
        wanted.kind,
        wanted.serial or None,
        wanted.campaign_id,
        *before,
        check_limit(limit) + 1,
    )
    return page([_row(r) for r in records], limit, lambda row: [row.filed_at, id_of(row.command_id)])


async def get_command(pool: ReadPool, command_id: str) -> CommandDetail:
    """Raises NotFoundError."""
    key = id_of(command_id)
    records = await pool.records(_ONE, key)
    if not records:
        raise NotFoundError(f"there is no command {command_id}")
    return CommandDetail(_row(records[0]), await pool.fetch(CommandEventRow, _EVENTS, key, MAX_EVENTS))


def _row(record: Any) -> CommandRow:
    kind = CommandKind(record["kind"])
    arguments = show_arguments(kind, arguments_from_json(json.loads(record["arguments"])))
    return CommandRow(
        **{
            **dict(record),
            "command_id": travelling_id(record["command_id"]).hex(),
            "kind": kind_name(kind),
            "arguments": arguments,
            "state": CommandState(record["state"]),
            "recall": Recall(record["recall"]) if record["recall"] else None,
        }
    )
