"""What became of every report, dead letters, and the figures of the first page."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Annotated

from fastapi import APIRouter, Path, Query

from api.queries.accounting import MAX_RECOUNT_DAYS, AccountingRow, list_accounting
from api.queries.dead_letters import DeadLetterRow, get_dead_letter, list_dead_letters
from api.queries.overview import Overview
from api.queries.paging import INT64_MAX, Page
from api.routes.asking import Context, Cursor, Days, Limit, Viewer
from api.stream import InFlight

router = APIRouter(tags=["accounting"])


@dataclass(frozen=True, slots=True)
class AccountingLine:
    """received = stored + partial + duplicate + dead_lettered. `recounted`: report rows, where they were counted."""

    door: str
    day: date
    received: int
    stored: int
    partial: int
    duplicate: int
    dead_lettered: int
    repeats: int
    recounted: int | None
    adds_up: bool


@dataclass(frozen=True, slots=True)
class Accounting:
    lines: list[AccountingLine]
    in_flight: InFlight
    """In the stream, not yet taken. `reports` null: unknown."""
    adds_up: bool


@dataclass(frozen=True, slots=True)
class LiveOverview:
    overview: Overview
    reporting_rate: float | None
    reports_per_s: float | None
    in_flight: InFlight


@router.get("/accounting", summary="Reports per door and local day by outcome, and those in flight")
async def accounting(
    context: Context,
    _viewer: Viewer,
    days: Days,
    recount_days: Annotated[
        int, Query(ge=0, le=MAX_RECOUNT_DAYS, description="How many of the newest days are recounted from the rows")
    ] = 2,
) -> Accounting:
    rows = await list_accounting(context.read, days.first, days.last, context.zone, recount_days=recount_days)
    return Accounting(
        [line_of(row) for row in rows], await context.stream.in_flight(), all(row.adds_up for row in rows)
    )


def line_of(row: AccountingRow) -> AccountingLine:
    return AccountingLine(
        row.door, row.day, row.received, row.stored, row.partial, row.duplicate, row.dead_lettered, row.repeats,
        row.recounted, row.adds_up,
    )  # fmt: skip


@router.get("/overview", summary="The figures of the first page")
async def overview(context: Context, _viewer: Viewer) -> LiveOverview:
    figures = await context.live.overview()
    return LiveOverview(
        figures, figures.reporting_rate, await context.live.reports_per_s(), await context.stream.in_flight()
    )


@router.get("/dead-letters", summary="Reports that could not be taken, newest first, with raw bytes and reason")
async def dead_letters(
    context: Context,
    _viewer: Viewer,
    waiting: Annotated[bool | None, Query(description="True: not replayed yet. False: replayed. Default: both")] = None,
    reason: Annotated[str | None, Query(max_length=64)] = None,
    device: Annotated[str | None, Query(max_length=64)] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[DeadLetterRow]:
    return await list_dead_letters(
        context.read, waiting=waiting, reason=reason, device=device, limit=limit, cursor=cursor
    )


@router.get("/dead-letters/{dead_letter_id}", summary="One dead letter")
async def dead_letter(
    context: Context, _viewer: Viewer, dead_letter_id: Annotated[int, Path(ge=1, le=INT64_MAX)]
) -> DeadLetterRow:
    return await get_dead_letter(context.read, dead_letter_id)
