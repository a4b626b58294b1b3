"""Alerts: the list, one with its evidence and past, and what people decide about it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from enum import StrEnum
from typing import Any

from api.alert_life import CLOSED, AlertAction, AlertState, check_reason, next_state
from api.audit import audit
from api.database import ReadPool, WritePool
from api.queries.paging import Page, check_limit, decode_cursor, page
from metering.errors import ConflictError, NotFoundError
from metering.model import MeterId

ACTIVE: tuple[AlertState, ...] = (AlertState.OPEN, AlertState.ACKNOWLEDGED)
SEVERITIES = ("critical", "warning", "info")
"""The worst first."""
MAX_EVENTS = 20
"""Events of one alert that a list shows: the newest."""


CERTAINTIES = ("suspected", "confirmed", "cleared")
"""How sure the platform is, in the order of a leak's life; alerts of other kinds have none."""
ML_PER_M3 = 1_000_000


class AlertOrder(StrEnum):
    """NEWEST: raised last. WORST: what still lasts, then what is over, then what people have closed; in each by
    severity, then by what it loses. LOSS: in the same three groups by the loss of a year. LOST: by what was lost so
    far; what was dismissed last."""

    NEWEST = "newest"
    WORST = "worst"
    LOSS = "loss"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class AlertFilter:
    """`states` empty: all. `kind`: exact, or a prefix that ends with ':' ('meter_alarm:'). `serial`: of the meter."""

    states: Sequence[AlertState] = ()
    severity: str | None = None
    kind: str | None = None
    serial: str | None = None
    zone: str | None = None
    certainty: str | None = None


@dataclass(frozen=True, slots=True)
class AlertRow:
    """`loss_year_ml`: what a year at this rate would lose; None when there is no rate or it is over. Money is what
    `valued` made of it, in `currency`."""

    alert_id: int
    kind: str
    severity: str
    state: AlertState
    meter_id: MeterId | None
    serial: str | None
    address: str
    zone_code: str | None
    zone_name: str | None
    started_at: datetime
    raised_at: datetime
    last_seen_at: datetime
    ended_at: datetime | None
    closed_at: datetime | None
    certainty: str | None
    rate_ml_h: int | None
    rate_low_ml_h: int | None
    rate_high_ml_h: int | None
    loss_ml: int | None
    loss_year_ml: int | None
    evidence: dict[str, Any]
    loss_money: float | None = None
    loss_year_money: float | None = None
    currency: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "state", AlertState(self.state))
        if isinstance(self.evidence, str):
            object.__setattr__(self, "evidence", json.loads(self.evidence))


@dataclass(frozen=True, slots=True)
class AlertEventRow:
    """`actor`: a login, or 'platform'."""

    at: datetime
    from_state: str | None
    to_state: str
    actor: str
    reason: str


@dataclass(frozen=True, slots=True)
class AlertDetail:
    alert: AlertRow
    events: list[AlertEventRow]
    """Oldest first."""


_SELECT = """
SELECT a.alert_id, a.kind, a.severity, a.state, a.meter_id, m.serial, COALESCE(sp.address, '') AS address,
    z.code AS zone_code, z.name AS zone_name, a.started_at, a.raised_at, a.last_seen_at, a.ended_at, a.closed_at,
    a.certainty, a.rate_ml_h, a.rate_low_ml_h, a.rate_high_ml_h, a.loss_ml,
    CASE WHEN a.ended_at IS NULL AND a.state IN ('open', 'acknowledged')
        THEN (a.rate_ml_h * 8760 * COALESCE((a.evidence->>'flowing_share')::numeric, 1))::bigint END AS loss_year_ml,
    a.evidence
FROM {alerts} a
LEFT JOIN meters m ON m.meter_id = a.meter_id
LEFT JOIN service_points sp ON sp.service_point_id = a.service_point_id
LEFT JOIN zones z ON z.zone_id = COALESCE(sp.zone_id, a.zone_id)
"""

_CONDITIONS = {
    "states": "a.state = ANY({value}::text[])",
    "severity": "a.severity = {value}::text",
    "kind": "(a.kind = {value}::text OR (right({value}, 1) = ':' AND starts_with(a.kind, {value})))",
    "serial": "a.meter_id = (SELECT meter_id FROM meters WHERE serial = {value}::text)",
    "zone": """
    COALESCE((SELECT zone_id FROM service_points p WHERE p.service_point_id = a.service_point_id), a.zone_id) IN (
        WITH RECURSIVE below AS (
            SELECT zone_id FROM zones WHERE code = {value}::text
            UNION SELECT child.zone_id FROM zones child JOIN below ON child.parent_id = below.zone_id)
        SELECT zone_id FROM below)""",
    "certainty": "a.certainty = {value}::text",
}
"""By the field of the filter. A statement holds only those that are asked: one for all filters has a plan for none."""

_OVER = "(CASE WHEN a.state NOT IN ('open', 'acknowledged') THEN 20 WHEN a.ended_at IS NOT NULL THEN 10 ELSE 0 END)"
_RATE = "-COALESCE((a.rate_ml_h * COALESCE((a.evidence->>'flowing_share')::numeric, 1))::bigint, 0)"
"""Over all hours, where a leak comes and goes."""
_KEYS = {
    AlertOrder.WORST: (f"({_OVER} + array_position(ARRAY['critical', 'warning', 'info'], a.severity))", _RATE),
    AlertOrder.LOSS: (_OVER, _RATE),
    AlertOrder.LOST: ("(CASE WHEN a.state = 'dismissed' THEN 1 ELSE 0 END)", "-COALESCE(a.loss_ml, 0)"),
}
"""What is sorted by, before the id; as `_key` says it of a row."""


_CHOSEN = """(SELECT a.* FROM alerts a {where} ORDER BY {by} LIMIT {limit})"""
_LIST = _SELECT.format(alerts=_CHOSEN) + "ORDER BY {by}"
"""The alerts of a page are chosen before anything is joined to them."""

_ONE = _SELECT.format(alerts="alerts") + "WHERE a.alert_id = $1"

_EVENTS = """
SELECT at, from_state, to_state, actor, reason FROM alert_events WHERE alert_id = $1 ORDER BY at LIMIT 500
"""

_EVENTS_OF = """
SELECT e.alert_id, e.at, e.from_state, e.to_state, e.actor, e.reason
FROM unnest($1::bigint[]) AS wanted (alert_id)
CROSS JOIN LATERAL (SELECT alert_id, at, from_state, to_state, actor, reason FROM alert_events
    WHERE alert_id = wanted.alert_id ORDER BY at DESC LIMIT $2) e
ORDER BY e.alert_id, e.at
"""

_MOVE = """
UPDATE alerts SET state = $3, closed_at = CASE WHEN $4 THEN now() ELSE closed_at END
WHERE alert_id = $1 AND state = $2
RETURNING alert_id
"""

_EVENT = "INSERT INTO alert_events (alert_id, from_state, to_state, actor, reason) VALUES ($1, $2, $3, $4, $5)"


async def list_alerts(
    pool: ReadPool,
    wanted: AlertFilter,
    *,
    limit: int = 50,
    cursor: str | None = None,
    order: AlertOrder = AlertOrder.NEWEST,
) -> Page[AlertRow]:
    """Alerts in the given order. All but NEWEST sort all that match: for those that are active, which are few."""
    newest = order is AlertOrder.NEWEST
    by = ("a.raised_at DESC", "a.alert_id DESC") if newest else (*_KEYS[order], "-a.alert_id")
    after = decode_cursor(cursor, *([datetime, int] if newest else [int, int, int])) if cursor else []
    sql, values = _statement(wanted, by, after, check_limit(limit) + 1)
    rows = await pool.fetch(AlertRow, sql, *values)
    return page(rows, limit, lambda row: [row.raised_at, row.alert_id] if newest else _key(row, order))


def _statement(
    wanted: AlertFilter, by: Sequence[str], after: Sequence[object], limit: int
) -> tuple[str, list[object]]:  # fmt: skip
    """`after`: the last row before the page by what is sorted `by`, as `page` was told of it; empty for the first."""
    asked = {name: getattr(wanted, name) for name in _CONDITIONS}
    asked["states"] = [str(state) for state in wanted.states]
    values = [value for value in asked.values() if value]
    chosen = (name for name, value in asked.items() if value)
    conditions = [_CONDITIONS[name].format(value=f"${at}") for at, name in enumerate(chosen, 1)]
    if after:
        row, beyond = ", ".join(by).replace(" DESC", ""), "<" if by[0].endswith(" DESC") else ">"
        marks = (f"${len(values) + at}::{_type(value)}" for at, value in enumerate(after, 1))
        conditions.append(f"({row}) {beyond} ({', '.join(marks)})")
        values += after
    where = f"WHERE {' AND '.join(conditions)}" if conditions else ""
    return _LIST.format(where=where, by=", ".join(by), limit=f"${len(values) + 1}"), [*values, limit]


def _type(value: object) -> str:
    return "timestamptz" if isinstance(value, datetime) else "bigint"


def _key(row: AlertRow, order: AlertOrder) -> list[int]:
    if order is AlertOrder.LOST:
        return [int(row.state is AlertState.DISMISSED), -(row.loss_ml or 0), -row.alert_id]
    over = 20 if row.state not in ACTIVE else 10 if row.ended_at is not None else 0
    rank = SEVERITIES.index(row.severity) + 1 if order is AlertOrder.WORST else 0
    return [over + rank, -_mean_rate_ml_h(row), -row.alert_id]


def _mean_rate_ml_h(row: AlertRow) -> int:
    """As `_RATE`, rounded as PostgreSQL rounds a numeric: paging would repeat or lose rows otherwise."""
    share = row.evidence.get("flowing_share")
    exact = (row.rate_ml_h or 0) * Decimal(1 if share is None else str(share))
    return int(exact.to_integral_value(ROUND_HALF_UP))


def valued(row: AlertRow, price_per_m3: float, currency: str) -> AlertRow:
    """The row with its losses in money."""
    so_far, year = (
        None if lost is None else round(lost / ML_PER_M3 * price_per_m3, 2) for lost in (row.loss_ml, row.loss_year_ml)
    )
    return replace(row, loss_money=so_far, loss_year_money=year, currency=currency)


async def list_alert_events(pool: ReadPool, alerts: Sequence[AlertRow]) -> dict[int, list[AlertEventRow]]:
    """The lives of alerts by their ids, oldest first, the newest `MAX_EVENTS` of each."""
    lives: dict[int, list[AlertEventRow]] = {alert.alert_id: [] for alert in alerts}
    for event in await pool.records(_EVENTS_OF, list(lives), MAX_EVENTS):
        lives[event["alert_id"]].append(AlertEventRow(*list(event.values())[1:]))
    return lives


async def get_alert(pool: ReadPool, alert_id: int) -> AlertDetail:
    """Raises NotFoundError."""
    alert = await pool.fetch_one(AlertRow, _ONE, alert_id)
    if alert is None:
        raise NotFoundError(f"there is no alert {alert_id}")
    return AlertDetail(alert, await pool.fetch(AlertEventRow, _EVENTS, alert_id))


async def move_alert(
    pool: WritePool,
    alert_id: int,
    action: AlertAction,
    *,
    actor: str,
    reason: str = "",
    expected: AlertState | None = None,
) -> AlertState:
    """Does what a person decided, with its event and audit line in one transaction; returns the new state.

    `expected`: the state the person saw. Raises NotFoundError; ConflictError when the alert has moved on or the action
    is not open in its state; RequestError when the reason is missing.
    """
    text = check_reason(action, reason)
    async with pool.transaction() as connection:
        found = await connection.fetchval("SELECT state FROM alerts WHERE alert_id = $1", alert_id)
        if found is None:
            raise NotFoundError(f"there is no alert {alert_id}")
        state = AlertState(found)
        if expected is not None and state is not expected:
            raise ConflictError(f"the alert is {state} by now, not {expected}")
        target = next_state(state, action)
        if await connection.fetchval(_MOVE, alert_id, state, target, target in CLOSED) is None:
            raise ConflictError("somebody else has just changed this alert")
        await connection.execute(_EVENT, alert_id, state, target, actor, text)
        await audit(connection, actor, f"alert.{action}", str(alert_id), {"from": state, "to": target, "reason": text})
    return target
