"""Districts: the tree, each one's balance by hour and day, the IWA water balance, and what sets districts up."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Request

from api.queries.districts import (
    BalanceRow,
    DistrictRow,
    FlowMeter,
    PeriodBalance,
    balance_days,
    balance_hours,
    flow_meters,
    list_districts,
    period_balance,
    zone_id_of,
)
from api.queries.zone_imports import Imported, take_features, take_flows
from api.routes.asking import Context, Days, Engineer, Viewer
from metering.import_file import csv_rows, decode_file
from metering.zones.rows import flows_of, parse_geojson

router = APIRouter(tags=["districts"])

Code = Annotated[str, Path(max_length=64, description="Code of the zone", examples=["LG-01"])]


@router.get("/districts", summary="The tree of zones with the balance of the newest whole day")
async def districts(context: Context, _viewer: Viewer) -> list[DistrictRow]:
    return await list_districts(context.read, context.now().astimezone(context.zone).date())


@router.get("/districts/{code}/balance", summary="Inlet - outlet - customers by hour or day, with its uncertainty")
async def balance(
    context: Context, _viewer: Viewer, code: Code, days: Days, by: Literal["hour", "day"] = "day"
) -> list[BalanceRow]:
    zone_id = await zone_id_of(context.read, code)
    if by == "hour":
        return await balance_hours(context.read, zone_id, days.since, days.until)
    return await balance_days(context.read, zone_id, days.first, days.last)


@router.get("/districts/{code}/water-balance", summary="The IWA water balance of a period, with CARL, UARL and ILI")
async def iwa(context: Context, _viewer: Viewer, code: Code, days: Days) -> PeriodBalance:
    zone_id = await zone_id_of(context.read, code)
    return await period_balance(context.read, zone_id, days.first, days.last, context.utility.water_price)


@router.get("/districts/{code}/flows", summary="The meters at its inlets and outlets now, with their newest reading")
async def boundary(context: Context, _viewer: Viewer, code: Code) -> list[FlowMeter]:
    return await flow_meters(context.read, await zone_id_of(context.read, code), context.now())


def _file(media_type: str) -> dict[str, Any]:
    """How the description of the interface shows a body that is a file."""
    return {"requestBody": {"required": True, "content": {media_type: {"schema": {"type": "string"}}}}}


@router.post(
    "/districts/flows", status_code=201, summary="Inlets and outlets from CSV", openapi_extra=_file("text/csv")
)
async def flows(context: Context, engineer: Engineer, request: Request) -> Imported:
    """Columns zone, meter (its serial), direction (in or out) and, if wanted, valid_from and valid_to. A row with the
    same zone, meter and beginning replaces what was there. All rows or, when one is wrong, none; 1 MB at most,
    workbooks only by the command line."""
    body = await request.body()
    return await take_flows(context.write, engineer, flows_of(csv_rows(decode_file(body)), context.zone), body)


@router.post(
    "/districts/map", status_code=201, summary="Zones and places of meters from GeoJSON",
    openapi_extra=_file("application/geo+json"),
)  # fmt: skip
async def geojson(context: Context, engineer: Engineer, request: Request) -> Imported:
    """Polygons are zones (code, name, kind, parent, mains_m, connections, pressure_m), points are places of meters
    (serial). All features or, when one is wrong, none; 1 MB at most."""
    body = await request.body()
    return await take_features(context.write, engineer, parse_geojson(body), body)
