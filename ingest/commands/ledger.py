"""Writes down what is said of commands, inside the caller's transaction: `commands` and `command_events` together."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from prometheus_client import Counter

from ingest.commands.life import Command, Decided, Said, decide
from metering.commands import CommandState

SAID = Counter("nbwater_ingest_command_news_total", "What was said of commands: state, or why it was refused", ["news"])

MAX_EXPIRED = 1_000
"""In one go."""

_ROWS = """
    SELECT command_id, device, kind, state, handovers, handed_over_at, ended_at
    FROM commands JOIN devices USING (device_id)
    WHERE command_id = ANY($1::bigint[]) ORDER BY command_id FOR UPDATE OF commands
"""
"""In this order always: two who write down at the same time wait for each other and never for ever."""

_KNOWN = "SELECT told_id FROM command_events WHERE told_id = ANY($1::uuid[])"
_UPDATE = """
    UPDATE commands c
    SET state = n.state, handovers = n.handovers, handed_over_at = n.handed_over_at, ended_at = n.ended_at
    FROM unnest($1::bigint[], $2::text[], $3::integer[], $4::timestamptz[], $5::timestamptz[])
        AS n (command_id, state, handovers, handed_over_at, ended_at)
    WHERE c.command_id = n.command_id
"""
_EVENTS = """
    INSERT INTO command_events (command_id, at, state, actor, detail, told_id)
    SELECT * FROM unnest($1::bigint[], $2::timestamptz[], $3::text[], $4::text[], $5::text[], $6::uuid[])
"""
_TELL_AGAIN = """
    INSERT INTO command_outbox (device_id)
    SELECT DISTINCT device_id FROM devices WHERE device = ANY($1::text[])
"""
_OVERDUE = """
    SELECT command_id, device FROM commands JOIN devices USING (device_id)
    WHERE state IN ('awaiting_approval', 'queued', 'handed_over') AND expires_at <= $1
    ORDER BY expires_at LIMIT $2
"""


async def write_down(connection: Any, said: Sequence[Said]) -> Decided:
    """What a gateway told before is left out. Of a command that nobody knows here the gateways are told again what
    waits: their knowledge may come from before the database was restored."""
    rows = await connection.fetch(_ROWS, list({one.command_id for one in said}))
    commands = {row["command_id"]: _command(row) for row in rows}
    decided = decide(commands, await _not_known(connection, said))
    if changed := list(decided.changed.values()):
        columns = zip(
            *((c.command_id, str(c.state), c.handovers, c.handed_over_at, c.ended_at) for c in changed), strict=True
        )
        await connection.execute(_UPDATE, *map(list, columns))
    if decided.events:
        events = [(*event[:-1], event.told_id and uuid.UUID(bytes=event.told_id)) for event in decided.events]
        await connection.execute(_EVENTS, *map(list, zip(*events, strict=True)))
    if decided.unknown:
        await connection.execute(_TELL_AGAIN, list({one.device for one in decided.unknown}))
    _count(decided)
    return decided


async def expire(connection: Any, now: datetime) -> int:
    """End what is overdue; how many there were, MAX_EXPIRED at most."""
    rows = await connection.fetch(_OVERDUE, now, MAX_EXPIRED)
    said = [Said(row["command_id"], row["device"], CommandState.EXPIRED, now, "platform") for row in rows]
    if said:
        async with connection.transaction():
            await write_down(connection, said)
    return len(said)


async def _not_known(connection: Any, said: Sequence[Said]) -> list[Said]:
    """Without what was told before, in an earlier batch or in this one."""
    ids = [uuid.UUID(bytes=one.told_id) for one in said if one.told_id is not None]
    known = {row["told_id"].bytes for row in await connection.fetch(_KNOWN, ids)} if ids else set()
    fresh = []
    for one in said:
        if one.told_id is None or one.told_id not in known:
            known.add(one.told_id)
            fresh.append(one)
    return fresh


def _command(row: Any) -> Command:
    return Command(
        row["command_id"], row["device"], row["kind"], CommandState(row["state"]), row["handovers"],
        row["handed_over_at"], row["ended_at"],
    )  # fmt: skip


def _count(decided: Decided) -> None:
    for event in decided.events:
        SAID.labels(str(event.state)).inc()
    for reason, count in decided.refused.items():
        SAID.labels(reason).inc(count)
    if decided.unknown:
        SAID.labels("unknown").inc(len(decided.unknown))
