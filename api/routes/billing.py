"""Billing periods: open, close, list, export, and the ledger of corrections."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import IO, Annotated

from fastapi import APIRouter, Path, Query
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field

from api.billing_export import MEDIA_TYPES, ExportForm, csv_of_corrections, csv_parts, workbook
from api.billing_parquet import parquet_parts, require_arrow
from api.billing_rules import MAX_NAME_CHARACTERS
from api.csv_table import attachment
from api.queries.billing import PeriodRow, close_period, drop_period, get_period, list_periods, open_period
from api.queries.billing_ledger import CorrectionRow, list_corrections, pages_of_corrections
from api.queries.billing_lines import pages_of_lines
from api.queries.billing_preview import Preview, preview_period
from api.queries.paging import Page
from api.reasons import MAX_REASON_CHARACTERS
from api.routes.asking import Context, Cursor, Engineer, Limit, Viewer, WantsCsv

router = APIRouter(tags=["billing"])

Name = Annotated[str, Path(max_length=MAX_NAME_CHARACTERS, examples=["2026-03"])]
Carried = Annotated[bool, Query(description="True: the corrections of earlier periods that are billed with this one")]
CHUNK_BYTES = 1 << 16


class Opening(BaseModel):
    name: str = Field(min_length=1, max_length=MAX_NAME_CHARACTERS, examples=["2026-03"])
    first_day: date
    last_day: date


class Reasoned(BaseModel):
    reason: str = Field(max_length=MAX_REASON_CHARACTERS, examples=["all meters looked at", "wrong last day"])


@router.get("/billing/periods", summary="All billing periods, the newest first")
async def periods(context: Context, _viewer: Viewer) -> list[PeriodRow]:
    return await list_periods(context.read)


@router.post("/billing/periods", status_code=201, summary="Open a period")
async def open_(context: Context, engineer: Engineer, opening: Opening) -> PeriodRow:
    await open_period(context.write, engineer, opening.name, opening.first_day, opening.last_day, context.now())
    return await get_period(context.read, opening.name.strip())


@router.get("/billing/periods/{name}/preview", summary="What closing would write down, and what of it by estimate")
async def preview(context: Context, _viewer: Viewer, name: Name) -> Preview:
    return await preview_period(context.read, await get_period(context.read, name), context.zone, context.now())


@router.post("/billing/periods/{name}/close", summary="Write down what is billed, for good")
async def close(context: Context, engineer: Engineer, name: Name, closing: Reasoned) -> PeriodRow:
    await close_period(
        context.write, engineer, name, context.zone, context.billing.settlement_day, context.now(), closing.reason
    )
    return await get_period(context.read, name)


@router.get("/billing/periods/{name}", summary="One period with its sums")
async def period(context: Context, _viewer: Viewer, name: Name) -> PeriodRow:
    return await get_period(context.read, name)


@router.post("/billing/periods/{name}/drop", status_code=204, summary="Take an open period back")
async def drop(context: Context, engineer: Engineer, name: Name, dropping: Reasoned) -> None:
    await drop_period(context.write, engineer, name, dropping.reason)


@router.get(
    "/billing/periods/{name}/corrections",
    summary="What turned out different after closing, oldest first; as CSV all of it",
    response_model=Page[CorrectionRow],
)
async def corrections(
    context: Context, _viewer: Viewer, name: Name, as_csv: WantsCsv, carried: Carried = False, limit: Limit = 100,
    cursor: Cursor = None,
) -> Page[CorrectionRow] | StreamingResponse:  # fmt: skip
    if not as_csv:
        return await list_corrections(context.read, name, limit, cursor, carried)
    await get_period(context.read, name)
    kind = "carried" if carried else "corrections"
    parts = csv_of_corrections(pages_of_corrections(context.read, name, carried))
    headers = attachment(f"billing-{name}-{kind}.csv")
    return StreamingResponse(parts, media_type=MEDIA_TYPES[ExportForm.CSV], headers=headers)


@router.get(
    "/billing/periods/{name}/export",
    summary="Its lines with indices, volumes and quality; of an open period what is known now",
    response_class=StreamingResponse,
    responses={200: {"content": {media: {} for media in MEDIA_TYPES.values()}}},
)
async def export(
    context: Context,
    _viewer: Viewer,
    name: Name,
    form: Annotated[ExportForm, Query(alias="format")] = ExportForm.CSV,
) -> StreamingResponse:
    found = await get_period(context.read, name)
    pages = pages_of_lines(context.read, found, context.zone)
    headers = attachment(f"billing-{name}.{form}")
    if form is ExportForm.PARQUET:
        require_arrow()
        return StreamingResponse(parquet_parts(pages), media_type=MEDIA_TYPES[form], headers=headers)
    if form is ExportForm.CSV:
        return StreamingResponse(csv_parts(pages), media_type=MEDIA_TYPES[form], headers=headers)
    return StreamingResponse(_chunks(await workbook(pages)), media_type=MEDIA_TYPES[form], headers=headers)


def _chunks(file: IO[bytes]) -> Iterator[bytes]:
    with file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk
