"""Firmware campaigns: look, start, send the next wave, stop. Images are added beside the file, where their signature is
checked: `nbwater campaigns add-image`."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Body, Path
from pydantic import BaseModel, Field

from api.campaign_rules import MAX_METERS, MAX_WAVES
from api.queries.campaigns import (
    CampaignDetail,
    CampaignRow,
    ImageRow,
    Start,
    get_detail,
    list_campaigns,
    list_images,
    next_wave,
    start_campaign,
    stop_campaign,
)
from api.reasons import MAX_REASON_CHARACTERS
from api.routes.asking import Context, Engineer, Viewer

router = APIRouter(tags=["campaigns"])

CampaignId = Annotated[int, Path(ge=1, lt=1 << 63)]


class CampaignWish(BaseModel):
    """`waves`: cumulative, numbers or shares; what is left goes last. It stops when more than `stop_share` of those
    that ended have failed, once there are `stop_after` failures."""

    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    serials: list[Annotated[str, Field(max_length=64)]] = Field(min_length=1, max_length=MAX_METERS)
    waves: list[Annotated[str, Field(max_length=10)]] = Field(["10", "10%", "50%"], max_length=MAX_WAVES)
    stop_share: float = Field(0.05, ge=0, le=1)
    stop_after: int = Field(3, ge=1, le=MAX_METERS)


class Why(BaseModel):
    why: str = Field("", max_length=MAX_REASON_CHARACTERS)


class Sent(BaseModel):
    meters: int


@router.get("/campaigns", summary="Campaigns, the newest first")
async def campaigns(context: Context, _viewer: Viewer) -> list[CampaignRow]:
    return await list_campaigns(context.read)


@router.get("/campaigns/{campaign_id}", summary="One campaign, wave by wave")
async def campaign(context: Context, _viewer: Viewer, campaign_id: CampaignId) -> CampaignDetail:
    return await get_detail(context.read, campaign_id)


@router.get("/firmware", summary="Images that campaigns may send")
async def images(context: Context, _viewer: Viewer) -> list[ImageRow]:
    return await list_images(context.read)


@router.post("/campaigns", status_code=201, summary="Make a campaign; nobody is told before its first wave is sent")
async def start(context: Context, engineer: Engineer, wish: CampaignWish) -> CampaignDetail:
    wanted = Start(
        wish.sha256, wish.serials, wish.waves, wish.stop_share, wish.stop_after, context.firmware.uri_base
    )  # fmt: skip
    return await get_detail(context.read, await start_campaign(context.write, engineer, wanted))


@router.post("/campaigns/{campaign_id}/next", summary="Send the next wave, if the ones before went well")
async def send(context: Context, engineer: Engineer, campaign_id: CampaignId) -> Sent:
    filed = await next_wave(context.read, context.write, engineer, campaign_id, context.commands, context.now())
    return Sent(meters=filed)


@router.post("/campaigns/{campaign_id}/stop", summary="Tell nobody more")
async def stop(
    context: Context, engineer: Engineer, campaign_id: CampaignId, word: Annotated[Why | None, Body()] = None
) -> CampaignDetail:
    await stop_campaign(context.write, engineer, campaign_id, word.why if word else "", context.now())
    return await get_detail(context.read, campaign_id)
