"""Windows in which no alert is raised."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, Field

from api.queries.paging import INT64_MAX, Page
from api.queries.suppressions import (
    SuppressionRow,
    SuppressionState,
    end_suppression,
    get_suppression,
    list_suppressions,
    suppress,
)
from api.reasons import MAX_REASON_CHARACTERS
from api.routes.asking import Context, Cursor, Limit, Operator, Viewer
from api.suppression_rules import Wanted

router = APIRouter(tags=["alerts"])

SuppressionId = Annotated[int, Path(ge=1, le=INT64_MAX)]


class Window(BaseModel):
    """For a meter or for a zone with those below it. `kind` null: all kinds; `valid_from` null: from now on."""

    serial: str | None = Field(None, max_length=64)
    zone: str | None = Field(None, max_length=64, description="Code of the zone", examples=["LG-01"])
    kind: str | None = Field(None, max_length=64, examples=["district_leak", "meter_alarm:"])
    valid_from: datetime | None = None
    valid_to: datetime = Field(examples=["2026-03-02T18:00:00+08:00"])
    reason: str = Field(max_length=MAX_REASON_CHARACTERS, examples=["works on the main in Binhai road"])


@router.get("/suppressions", summary="Windows in which no alert is raised, the newest first")
async def suppressions(
    context: Context,
    _viewer: Viewer,
    state: Annotated[list[SuppressionState], Query(max_length=3, description="Repeat for several; none: all")] = [],  # noqa: B006 - FastAPI copies it
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Page[SuppressionRow]:
    return await list_suppressions(context.read, state, context.now(), limit=limit, cursor=cursor)


@router.post("/suppressions", status_code=201, summary="Raise no alerts for a while; alerts that are there stay")
async def add(context: Context, operator: Operator, window: Window) -> SuppressionRow:
    now = context.now()
    wanted = Wanted(window.serial, window.zone, window.kind, window.valid_from or now, window.valid_to, window.reason)
    made = await suppress(context.write, wanted, actor=operator.login, now=now)
    return await get_suppression(context.read, made, now)


@router.post("/suppressions/{suppression_id}/end", summary="End it before its time")
async def end(context: Context, operator: Operator, suppression_id: SuppressionId) -> SuppressionRow:
    await end_suppression(context.write, suppression_id, actor=operator.login, now=context.now())
    return await get_suppression(context.read, suppression_id, context.now())
