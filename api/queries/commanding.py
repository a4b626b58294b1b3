"""What people decide about commands: file, approve, cancel; each with its event and audit line in one transaction."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from api.audit import audit
from api.command_rules import (
    check_approver,
    check_closing,
    check_filing,
    check_number,
    check_reason,
    check_role,
    first_state,
)
from api.database import WritePool
from api.queries.commands import id_of
from api.roles import Principal
from metering.command_arguments import kind_name, may_close, read_arguments, show_arguments
from metering.command_feed import MAX_WAITING_PER_DEVICE
from metering.commands import (
    MAX_TTL_S,
    OPEN_STATES,
    CommandKind,
    CommandState,
    arguments_from_json,
    arguments_to_json,
    travelling_id,
)
from metering.errors import ConflictError, NotFoundError, RequestError
from metering.settings import CommandSettings

MAX_ORDERS = 1_000
"""Meters of one request."""

MAX_AUDITED = 50
"""Serials that one line of the audit log names."""

_DAY = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class Order:
    """One meter and the arguments of its command, by name."""

    serial: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Filing:
    """One request. `ttl` None: what the settings say."""

    kind: CommandKind
    orders: Sequence[Order]
    reason: str = ""
    ttl: timedelta | None = None
    campaign_id: int | None = None


_TARGETS = """
SELECT asked.serial, m.meter_id, d.device_id, COALESCE(sp.critical, false) AS critical,
    (SELECT count(*) FROM commands c WHERE c.device_id = d.device_id
     AND c.state IN ('awaiting_approval', 'queued', 'handed_over')) AS open
FROM unnest($1::text[]) AS asked (serial)
LEFT JOIN meters m ON m.serial = asked.serial
LEFT JOIN installations i ON i.meter_id = m.meter_id AND i.valid_to IS NULL
LEFT JOIN devices d ON d.device_id = i.device_id AND d.enabled
LEFT JOIN service_points sp ON sp.service_point_id = i.service_point_id
"""
_OPEN = "SELECT count(*) FROM commands WHERE state IN ('awaiting_approval', 'queued', 'handed_over')"
_ONE_AT_A_TIME = "SELECT pg_advisory_xact_lock(hashtext('nbwater commands of ' || $1))"
"""Of one person: else two requests at once would each see room for all of theirs."""

_CLOSES_FILED = """
SELECT count(*) FROM commands
WHERE filed_by = $1 AND filed_at > $2 AND state <> 'cancelled' AND (kind = 100 OR (kind = 2 AND arguments->>'0' = '1'))
"""
_CLOSES_APPROVED = """
SELECT count(*) FROM commands
WHERE approved_by = $1 AND approved_at > $2 AND (kind = 100 OR (kind = 2 AND arguments->>'0' = '1'))
"""
_INSERT = """
INSERT INTO commands (command_id, device_id, meter_id, kind, arguments, state, reason, filed_by, filed_at, expires_at,
                      campaign_id)
SELECT n.command_id, n.device_id, n.meter_id, $5::smallint, n.arguments::jsonb, $6, $7, $8, $9::timestamptz,
       $10::timestamptz, $11::bigint
FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::text[]) WITH ORDINALITY
    AS n (command_id, device_id, meter_id, arguments, position) ORDER BY n.position
"""
_EVENTS = """
INSERT INTO command_events (command_id, at, state, actor, detail)
SELECT command_id, $2::timestamptz, $3, $4, $5 FROM unnest($1::bigint[]) AS command_id
"""
_LOCKED = """
SELECT c.kind, c.arguments, c.state, c.filed_by, c.expires_at, m.serial, COALESCE((
    SELECT sp.critical FROM installations i JOIN service_points sp USING (service_point_id)
    WHERE i.meter_id = c.meter_id AND i.valid_to IS NULL), false) AS critical
FROM commands c LEFT JOIN meters m ON m.meter_id = c.meter_id
WHERE c.command_id = $1 FOR UPDATE OF c
"""
_APPROVE = "UPDATE commands SET state = 'queued', approved_by = $2, approved_at = $3 WHERE command_id = $1"
_CANCEL = "UPDATE commands SET state = 'cancelled', ended_at = $2 WHERE command_id = $1"


async def file_commands(
    pool: WritePool, who: Principal, filing: Filing, settings: CommandSettings, now: datetime
) -> list[str]:
    """All of them or none; their ids in the order of the orders.

    Raises ForbiddenError, RequestError, NotFoundError (a serial nobody knows), ConflictError (not installed, critical,
    too many).
    """
    reason = check_filing(who, filing.kind, filing.reason)
    return await file_checked(pool, who, filing, reason, settings, now)


async def file_checked(
    pool: WritePool, who: Principal, filing: Filing, reason: str, settings: CommandSettings, now: datetime
) -> list[str]:
    """As `file_commands`, for who has checked that this person may file this kind."""
    expires_at = now + _ttl(filing, settings)
    arguments = _arguments(filing)
    async with pool.transaction() as connection:
        await connection.execute(_ONE_AT_A_TIME, who.login)
        targets = await _targets(connection, filing, settings)
        closing = [may_close(filing.kind, one) for one in arguments]
        if any(closing):
            await _check_closings(connection, who, targets, closing, settings, now)
        keys = [secrets.randbits(63) for _ in filing.orders]
        documents = [json.dumps(arguments_to_json(one)) for one in arguments]
        state = str(first_state(filing.kind, arguments[0]))
        columns = keys, [t["device_id"] for t in targets], [t["meter_id"] for t in targets], documents
        await connection.execute(
            _INSERT, *columns, filing.kind, state, reason, who.login, now, expires_at, filing.campaign_id
        )
        await connection.execute(_EVENTS, keys, now, state, who.login, reason)
        await _audit_filing(connection, who, filing, reason, state)
    return [travelling_id(key).hex() for key in keys]


def _ttl(filing: Filing, settings: CommandSettings) -> timedelta:
    ttl = filing.ttl or timedelta(hours=settings.ttl_h)
    if not timedelta(minutes=1) <= ttl <= timedelta(seconds=MAX_TTL_S):
        raise RequestError(f"a command waits from a minute to {MAX_TTL_S // 86_400} days")
    return ttl


def _arguments(filing: Filing) -> list[dict[int, Any]]:
    if not 1 <= len(filing.orders) <= MAX_ORDERS:
        raise RequestError(f"one request names 1 to {MAX_ORDERS} meters")
    if len({order.serial for order in filing.orders}) < len(filing.orders):
        raise RequestError("a meter is named twice")
    arguments = [read_arguments(filing.kind, order.arguments) for order in filing.orders]
    if len({first_state(filing.kind, one) for one in arguments}) > 1:
        raise RequestError("opening and closing are two requests")
    return arguments


async def _targets(connection: Any, filing: Filing, settings: CommandSettings) -> list[Any]:
    """In the order of the orders, each known, installed and with room for one more."""
    rows = await connection.fetch(_TARGETS, [order.serial for order in filing.orders])
    targets = {row["serial"]: row for row in rows}
    for row in rows:
        if row["meter_id"] is None:
            raise NotFoundError(f"there is no meter {row['serial']}")
        if row["device_id"] is None:
            raise ConflictError(f"{row['serial']} has no device that could be told anything now")
        if row["open"] >= MAX_WAITING_PER_DEVICE:
            raise ConflictError(f"{row['open']} commands wait for {row['serial']} already")
    if await connection.fetchval(_OPEN) + len(rows) > settings.max_open:
        raise ConflictError(f"more than {settings.max_open} commands would wait: try again when some have ended")
    return [targets[order.serial] for order in filing.orders]


async def _check_closings(
    connection: Any, who: Principal, targets: Sequence[Any], closing: Sequence[bool], settings: CommandSettings,
    now: datetime,
) -> None:  # fmt: skip
    closed = [target for target, closes in zip(targets, closing, strict=True) if closes]
    for target in closed:
        check_closing(target["serial"], target["critical"])
    check_number(len(closed), settings.closes_per_batch, "this request")
    before = await connection.fetchval(_CLOSES_FILED, who.login, now - _DAY)
    check_number(before + len(closed), settings.closes_per_person_day, f"{who.login} within 24 hours")


async def _audit_filing(connection: Any, who: Principal, filing: Filing, reason: str, state: str) -> None:
    orders = filing.orders
    detail: dict[str, Any] = {"kind": kind_name(filing.kind), "reason": reason, "state": state, "meters": len(orders)}
    detail["serials"] = [order.serial for order in orders[:MAX_AUDITED]]
    detail["arguments"] = dict(orders[0].arguments)
    await audit(connection, who.login, "command.file", orders[0].serial if len(orders) == 1 else "meters", detail)


async def approve_command(
    pool: WritePool, who: Principal, command_id: str, settings: CommandSettings, now: datetime
) -> None:
    """Let a command go that waits for a second person. Raises as `file_commands`, and ConflictError when it waits no
    more."""
    key = id_of(command_id)
    async with pool.transaction() as connection:
        await connection.execute(_ONE_AT_A_TIME, who.login)
        row = await _locked(connection, key, command_id)
        kind = CommandKind(row["kind"])
        check_approver(who, row["filed_by"], kind)
        stands = CommandState(row["state"])
        if stands is CommandState.AWAITING_APPROVAL and row["expires_at"] <= now:
            stands = CommandState.EXPIRED  # though nobody has written it down yet
        if stands is not CommandState.AWAITING_APPROVAL:
            raise ConflictError(f"the command is {stands} by now and waits for no approval")
        check_closing(row["serial"] or "the meter", row["critical"])
        before = await connection.fetchval(_CLOSES_APPROVED, who.login, now - _DAY)
        check_number(before + 1, settings.closes_per_person_day, f"{who.login} within 24 hours")
        await connection.execute(_APPROVE, key, who.login, now)
        await connection.execute(_EVENTS, [key], now, str(CommandState.QUEUED), who.login, "approved")
        await audit(connection, who.login, "command.approve", command_id, _described(row, kind))


async def cancel_command(pool: WritePool, who: Principal, command_id: str, reason: str, now: datetime) -> None:
    """A meter that has been told may have obeyed already: then it will say so, and that counts. Raises ConflictError
    when the command has ended."""
    text = check_reason(reason, needed=False)
    key = id_of(command_id)
    async with pool.transaction() as connection:
        row = await _locked(connection, key, command_id)
        kind = CommandKind(row["kind"])
        check_role(who, kind)
        if CommandState(row["state"]) not in OPEN_STATES:
            raise ConflictError(f"the command is {row['state']} already")
        await connection.execute(_CANCEL, key, now)
        await connection.execute(_EVENTS, [key], now, str(CommandState.CANCELLED), who.login, text)
        await audit(connection, who.login, "command.cancel", command_id, _described(row, kind) | {"reason": text})


async def _locked(connection: Any, key: int, command_id: str) -> Any:
    row = await connection.fetchrow(_LOCKED, key)
    if row is None:
        raise NotFoundError(f"there is no command {command_id}")
    return row


def _described(row: Any, kind: CommandKind) -> dict[str, Any]:
    arguments = show_arguments(kind, arguments_from_json(json.loads(row["arguments"])))
    return {"kind": kind_name(kind), "arguments": arguments, "serial": row["serial"], "filed_by": row["filed_by"]}
