"""What people say of a meter's readings."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated

from fastapi import APIRouter, Path
from pydantic import BaseModel, Field

from api.queries.amendments import AmendmentRow, amend_reading, list_amendments, withdraw_amendment
from api.queries.day_edits import DayEditRow, edit_day, list_day_edits, withdraw_day_edit
from api.queries.meters import meter_id_of
from api.queries.paging import INT64_MAX
from api.reasons import MAX_REASON_CHARACTERS
from api.routes.asking import Context, Engineer, Limit, Serial, Viewer

router = APIRouter(tags=["amendments"])

AmendmentId = Annotated[int, Path(ge=1, le=INT64_MAX)]


class Wanted(BaseModel):
    """`index_ml` null: whatever was sent for that instant does not count."""

    ts: datetime = Field(examples=["2026-03-01T00:00:00+08:00"])
    index_ml: int | None = Field(ge=0, le=INT64_MAX, strict=True)
    reason: str = Field(max_length=MAX_REASON_CHARACTERS, examples=["read on site, photo 4711"])


class Why(BaseModel):
    reason: str = Field(max_length=MAX_REASON_CHARACTERS)


@router.get("/meters/{serial}/amendments", summary="What people said of its readings, all versions, newest first")
async def amendments(context: Context, _viewer: Viewer, serial: Serial, limit: Limit = 100) -> list[AmendmentRow]:
    return await list_amendments(context.read, await meter_id_of(context.read, serial), limit)


@router.post("/meters/{serial}/amendments", status_code=201, summary="Give a reading, or take one away")
async def amend(context: Context, engineer: Engineer, serial: Serial, wanted: Wanted) -> int:
    """The amendment's id. The raw reading stays as it is; sums follow within seconds."""
    return await amend_reading(
        context.write, engineer, serial, wanted.ts, wanted.index_ml, wanted.reason, context.now()
    )


@router.post("/meters/{serial}/amendments/{amendment_id}/withdraw", summary="Take an amendment back")
async def withdraw(
    context: Context, engineer: Engineer, serial: Serial, amendment_id: AmendmentId, why: Why
) -> list[AmendmentRow]:
    await withdraw_amendment(context.write, engineer, serial, amendment_id, why.reason, context.now())
    return await list_amendments(context.read, await meter_id_of(context.read, serial))


class WantedDay(BaseModel):
    """`volume_ml` null: nothing of that day counts."""

    volume_ml: int | None = Field(ge=0, le=INT64_MAX, strict=True)
    reason: str = Field(
        max_length=MAX_REASON_CHARACTERS, examples=["register stood still, estimated with the customer"]
    )


@router.get("/meters/{serial}/day-edits", summary="What people said of its days, all versions, newest first")
async def day_edits(context: Context, _viewer: Viewer, serial: Serial, limit: Limit = 100) -> list[DayEditRow]:
    return await list_day_edits(context.read, await meter_id_of(context.read, serial), context.zone, limit)


@router.post("/meters/{serial}/days/{day}/edit", status_code=201, summary="Give a day's volume, or void it")
async def give_day(context: Context, engineer: Engineer, serial: Serial, day: date, wanted: WantedDay) -> int:
    """The edit's id. Volumes are as shown and billed: times the multiplier. Sums follow within seconds."""
    return await edit_day(
        context.write, engineer, serial, day, wanted.volume_ml, wanted.reason, context.zone, context.now()
    )


@router.post("/meters/{serial}/day-edits/{edit_id}/withdraw", summary="Take a day's edit back")
async def withdraw_day(
    context: Context, engineer: Engineer, serial: Serial, edit_id: AmendmentId, why: Why
) -> list[DayEditRow]:
    await withdraw_day_edit(context.write, engineer, serial, edit_id, why.reason, context.now())
    return await list_day_edits(context.read, await meter_id_of(context.read, serial), context.zone)
