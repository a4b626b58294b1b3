"""Expected against received readings, and the meters of an outage."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Annotated

from fastapi import APIRouter, Query, Response

from api.csv_table import csv_answer
from api.queries.completeness import MeterDay, completeness_of_meters, completeness_of_zones
from api.queries.outages import OutageMeter, all_meters_of_alert, meters_of_alert
from api.queries.paging import Page
from api.routes.alerts import AlertId
from api.routes.asking import Context, Cursor, Days, Limit, Viewer, WantsCsv

router = APIRouter(tags=["completeness"])


@dataclass(frozen=True, slots=True)
class Completeness:
    """`rate`: meters read ÷ meters that were to be read, by the utility's definition; null where none was."""

    day: date
    zone: str
    name: str
    meters: int
    read: int
    rate: float | None
    expected_readings: int
    received_readings: int


@router.get("/completeness", summary="Per local day and zone", response_model=list[Completeness])
async def completeness(
    context: Context, _viewer: Viewer, days: Days, as_csv: WantsCsv
) -> list[Completeness] | Response:
    found = await completeness_of_zones(context.read, days.first, days.last, context.completeness, context.zone)
    rows = [
        Completeness(row.day, row.zone, row.name, row.meters, row.read, row.rate, row.expected_readings,
                     row.received_readings)
        for row in found
    ]  # fmt: skip
    if not as_csv:
        return rows
    return csv_answer(
        f"completeness-{days.first}-{days.last}",
        ("day", "zone", "name", "meters", "read", "rate", "expected_readings", "received_readings"),
        ((row.day, row.zone, row.name, row.meters, row.read, row.rate, row.expected_readings, row.received_readings)
         for row in rows),
    )  # fmt: skip


@router.get("/completeness/{day}/meters", summary="Meters that were to be read on a day, by serial")
async def meters(
    context: Context,
    _viewer: Viewer,
    day: date,
    zone: Annotated[str | None, Query(max_length=64, description="Code of the zone they are directly in")] = None,
    is_read: Annotated[bool | None, Query(description="False: only those that count as not read")] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Page[MeterDay]:
    return await completeness_of_meters(
        context.read, day, context.completeness, context.zone, code=zone, is_read=is_read, limit=limit, cursor=cursor
    )


@router.get("/alerts/{alert_id}/meters", summary="The meters of an outage, by serial", response_model=Page[OutageMeter])
async def outage_meters(
    context: Context, _viewer: Viewer, alert_id: AlertId, as_csv: WantsCsv, limit: Limit = 100, cursor: Cursor = None
) -> Page[OutageMeter] | Response:
    """As CSV all of them, without pages."""
    if not as_csv:
        return await meters_of_alert(context.read, alert_id, limit, cursor)
    rows = await all_meters_of_alert(context.read, alert_id)
    return csv_answer(f"outage-{alert_id}", ("serial", "address"), ((row.serial, row.address) for row in rows))
