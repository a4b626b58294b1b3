"""Meters, their readings, consumption and reports."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Response

from api.csv_table import csv_answer
from api.queries.consumption import Granularity, list_consumption
from api.queries.meters import (
    MAX_SEARCH_CHARACTERS,
    MeterDetail,
    MeterFilter,
    MeterRow,
    MeterState,
    ZoneRow,
    get_meter,
    list_meters,
    list_zones,
    meter_id_of,
)
from api.queries.paging import Page
from api.queries.pressure import PressureRow, list_pressure
from api.queries.readings import ConflictRow, ReadingRow, list_conflicts, list_readings, readings_between
from api.queries.reports import ReportRow, get_report, list_reports
from api.queries.settled_days import ConsumptionRow
from api.routes.asking import Context, Cursor, Days, Limit, Serial, Viewer, WantsCsv

router = APIRouter(tags=["meters"])

_CSV: dict[int | str, dict[str, Any]] = {200: {"content": {"text/csv": {}}, "description": "JSON or CSV"}}


@router.get("/meters", summary="Meters by serial, with search and filters")
async def meters(
    context: Context,
    _viewer: Viewer,
    search: Annotated[
        str | None, Query(max_length=MAX_SEARCH_CHARACTERS, description="Part of serial, IMEI or address")
    ] = None,
    zone: Annotated[str | None, Query(max_length=64, description="Code of a zone; those below it are included")] = None,
    state: MeterState | None = None,
    silent: Annotated[bool | None, Query(description="Not heard of within the silence limit, or never")] = None,
    has_alert: Annotated[bool | None, Query(description="Has an open or acknowledged alert")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[MeterRow]:
    wanted = MeterFilter(search, zone, state, silent, has_alert)
    return await list_meters(
        context.read, wanted, now=context.now(), silence_after=context.silence_after, limit=limit, cursor=cursor
    )


@router.get("/zones", summary="All zones")
async def zones(context: Context, _viewer: Viewer) -> list[ZoneRow]:
    return await list_zones(context.read)


@router.get("/meters/{serial}", summary="One meter: state, service point, installations")
async def meter(context: Context, _viewer: Viewer, serial: Serial) -> MeterDetail:
    return await get_meter(context.read, serial, now=context.now(), silence_after=context.silence_after)


@router.get(
    "/meters/{serial}/readings",
    summary="Raw readings of a period, oldest first; CSV holds the whole period",
    response_model=Page[ReadingRow],
    responses=_CSV,
)
async def readings(
    context: Context,
    _viewer: Viewer,
    serial: Serial,
    days: Days,
    as_csv: WantsCsv,
    limit: Limit = 500,
    cursor: Cursor = None,
) -> Page[ReadingRow] | Response:
    meter_id = await meter_id_of(context.read, serial)
    if not as_csv:
        return await list_readings(context.read, meter_id, days.since, days.until, limit=limit, cursor=cursor)
    rows = await readings_between(context.read, meter_id, days.since, days.until)
    return csv_answer(
        f"readings-{serial}-{days.first}-{days.last}",
        ("serial", "ts", "kind", "index_ml"),
        ((serial, row.ts.astimezone(context.zone).isoformat(), row.kind, row.index_ml) for row in rows),
    )


@router.get("/meters/{serial}/conflicts", summary="Readings that arrived again with another value")
async def conflicts(
    context: Context, _viewer: Viewer, serial: Serial, days: Days, limit: Limit = 100
) -> list[ConflictRow]:
    meter_id = await meter_id_of(context.read, serial)
    return await list_conflicts(context.read, meter_id, days.since, days.until, limit)


@router.get(
    "/meters/{serial}/consumption",
    summary="Consumption by hour, day or month, each with quality and reasons",
    response_model=list[ConsumptionRow],
    responses=_CSV,
)
async def consumption(
    context: Context,
    _viewer: Viewer,
    serial: Serial,
    days: Days,
    as_csv: WantsCsv,
    by: Annotated[Granularity, Query(description="Length of each span")] = Granularity.DAY,
) -> list[ConsumptionRow] | Response:
    meter_id = await meter_id_of(context.read, serial)
    rows = await list_consumption(
        context.read, meter_id, by, days.first, days.last, context.zone, context.consumption.rules
    )
    if not as_csv:
        return rows
    return csv_answer(
        f"consumption-{serial}-{by}-{days.first}-{days.last}",
        ("serial", "start", "end", "volume_ml", "excluded_ml", "quality", "reasons", "complete"),
        (
            (serial, row.start.isoformat(), row.end.isoformat(), row.volume_ml, row.excluded_ml, row.quality,
             " ".join(row.reasons), str(row.complete).lower())
            for row in rows
        ),
    )  # fmt: skip


@router.get("/meters/{serial}/pressure", summary="Pressure that its reports said, oldest first")
async def pressure(context: Context, _viewer: Viewer, serial: Serial, days: Days) -> list[PressureRow]:
    meter_id = await meter_id_of(context.read, serial)
    return await list_pressure(context.read, meter_id, days.since, days.until)


@router.get("/meters/{serial}/reports", summary="Reports of a meter, newest first, raw and decoded")
async def reports(
    context: Context, _viewer: Viewer, serial: Serial, limit: Limit = 20, cursor: Cursor = None
) -> Page[ReportRow]:
    meter_id = await meter_id_of(context.read, serial)
    return await list_reports(context.read, meter_id, limit=limit, cursor=cursor)


@router.get("/reports/{report_id}", summary="One report by its id")
async def report(context: Context, _viewer: Viewer, report_id: str) -> ReportRow:
    return await get_report(context.read, report_id)
