"""Districts: the tree, each one's balance by hour and day, and the IWA water balance."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Path

from api.queries.districts import (
    BalanceRow,
    DistrictRow,
    PeriodBalance,
    balance_days,
    balance_hours,
    list_districts,
    period_balance,
    zone_id_of,
)
from api.routes.asking import Context, Days, Viewer

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
