"""Alerts, and what people decide about them."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Literal

from fastapi import APIRouter, Body, Path, Query
from pydantic import BaseModel, Field

from api.alert_life import AlertAction, AlertState
from api.context import PageContext
from api.queries.alerts import (
    AlertDetail,
    AlertFilter,
    AlertOrder,
    AlertRow,
    get_alert,
    list_alerts,
    move_alert,
    valued,
)
from api.queries.paging import INT64_MAX, Page
from api.reasons import MAX_REASON_CHARACTERS
from api.routes.asking import Context, Cursor, Limit, Operator, Viewer

router = APIRouter(tags=["alerts"])

AlertId = Annotated[int, Path(ge=1, le=INT64_MAX)]


class Decision(BaseModel):
    """`expected_state`: the state the person saw; when the alert has moved on meanwhile the answer is 409."""

    reason: str = Field("", max_length=MAX_REASON_CHARACTERS, examples=["tenant filled the pool"])
    expected_state: AlertState | None = None


@router.get("/alerts", summary="Alerts: the newest raised, the worst, or what loses most first")
async def alerts(
    context: Context,
    _viewer: Viewer,
    state: Annotated[list[AlertState], Query(max_length=4, description="Repeat for several; none: all")] = [],  # noqa: B006 - FastAPI copies it
    severity: Literal["info", "warning", "critical"] | None = None,
    kind: Annotated[
        str | None, Query(max_length=64, description="Exact, or a prefix that ends with a colon", examples=["silent"])
    ] = None,
    serial: Annotated[str | None, Query(max_length=64)] = None,
    zone: Annotated[str | None, Query(max_length=64, description="Code of a zone; those below it are included")] = None,
    certainty: Annotated[
        Literal["suspected", "confirmed", "cleared"] | None, Query(description="Of leaks that our own detector found")
    ] = None,
    order: Annotated[
        AlertOrder, Query(description="A cursor goes on only in the order that gave it")
    ] = AlertOrder.NEWEST,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[AlertRow]:
    wanted = AlertFilter(state, severity, kind, serial, zone, certainty)
    found = await list_alerts(context.read, wanted, limit=limit, cursor=cursor, order=order)
    return replace(found, items=[_valued(context, row) for row in found.items])


@router.get("/alerts/{alert_id}", summary="One alert with its evidence and past")
async def alert(context: Context, _viewer: Viewer, alert_id: AlertId) -> AlertDetail:
    return await _detail(context, alert_id)


async def _detail(context: PageContext, alert_id: int) -> AlertDetail:
    found = await get_alert(context.read, alert_id)
    return replace(found, alert=_valued(context, found.alert))


def _valued(context: PageContext, row: AlertRow) -> AlertRow:
    return valued(row, context.utility.water_price, context.utility.currency)


def _decide(action: AlertAction, summary: str) -> None:
    @router.post(f"/alerts/{{alert_id}}/{action}", summary=summary, operation_id=f"{action}_alert")
    async def decide(
        context: Context, operator: Operator, alert_id: AlertId, decision: Annotated[Decision | None, Body()] = None
    ) -> AlertDetail:
        decision = decision or Decision()  # type: ignore[call-arg] # the mypy plugin of pydantic is not in use
        await move_alert(
            context.write,
            alert_id,
            action,
            actor=operator.login,
            reason=decision.reason,
            expected=decision.expected_state,
        )
        return await _detail(context, alert_id)


_decide(AlertAction.ACKNOWLEDGE, "Somebody has seen it and takes care")
_decide(AlertAction.RESOLVE, "The cause is gone")
_decide(AlertAction.DISMISS, "It is no fault; needs a reason")
