"""`nbwater campaigns`: firmware in waves."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

import click

from api.firmware_signature import load_key
from api.queries.campaigns import (
    CampaignRow,
    Start,
    add_image,
    get_campaign,
    list_campaigns,
    next_wave,
    start_campaign,
    stop_campaign,
)
from deploy import instance
from deploy.commands.commands import pools_of, token_option
from deploy.commands.options import data_option
from deploy.commands.reading import reading
from deploy.programs import images
from metering.settings import CommandSettings, FirmwareSettings, load


@click.group()
def campaigns() -> None:
    """Firmware for many meters, wave after wave."""


@campaigns.command("add-image")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--signature", type=click.Path(exists=True, dir_okay=False, path_type=Path), required=True)
@click.option("--name", required=True, help="Model and version, as people say it.")
@token_option
@data_option()
def add_image_(file: Path, signature: Path, name: str, token: str, data: Path) -> None:
    """Take an image whose Ed25519 signature is right; print its SHA-256."""
    url, directory = instance.database_url(data), images(data.resolve())
    click.echo(asyncio.run(_add(url, token, name, file.read_bytes(), signature.read_bytes(), directory)))


async def _add(url: str, token: str, name: str, image: bytes, signature: bytes, directory: Path) -> str:
    key = load_key(load(FirmwareSettings).public_key_file)
    async with pools_of(url, token) as (_, write, who):
        return await add_image(write, who, name, image, signature, key, directory)


@campaigns.command()
@click.argument("sha256")
@click.argument("serials", type=click.File())
@click.option(
    "--waves", default="10,10%,50%", show_default=True, help="Cumulative: numbers or shares; the rest is last."
)
@click.option("--stop-share", type=click.FloatRange(0, 1), default=0.05, show_default=True, help="Of failures.")
@click.option("--stop-after", type=click.IntRange(1), default=3, show_default=True, help="Failures before that counts.")
@token_option
@data_option()
def start(sha256: str, serials: TextIO, waves: str, stop_share: float, stop_after: int, token: str, data: Path) -> None:
    """Make a campaign for the meters whose SERIALS a file lists, one a line; nobody is told before `next`."""
    wanted = [line.strip() for line in serials if line.strip()]
    wish = Start(sha256, wanted, waves.split(","), stop_share, stop_after, load(FirmwareSettings).uri_base)
    click.echo(f"campaign {asyncio.run(_start(instance.database_url(data), token, wish))}")


async def _start(url: str, token: str, wish: Start) -> int:
    async with pools_of(url, token) as (_, write, who):
        return await start_campaign(write, who, wish)


@campaigns.command("next")
@click.argument("campaign_id", type=click.IntRange(1))
@token_option
@data_option()
def next_(campaign_id: int, token: str, data: Path) -> None:
    """Send the next wave out, if the ones before went well."""
    click.echo(f"{asyncio.run(_next(instance.database_url(data), token, campaign_id))} meters will be told")


async def _next(url: str, token: str, campaign_id: int) -> int:
    async with pools_of(url, token) as (read, write, who):
        return await next_wave(read, write, who, campaign_id, load(CommandSettings), datetime.now(UTC))


@campaigns.command()
@click.argument("campaign_id", type=click.IntRange(1))
@click.option("--why", default="", help="Why.")
@token_option
@data_option()
def stop(campaign_id: int, why: str, token: str, data: Path) -> None:
    """Stop a campaign: meters that were not told yet are not."""
    asyncio.run(_stop(instance.database_url(data), token, campaign_id, why))
    click.echo(f"campaign {campaign_id} is stopped")


async def _stop(url: str, token: str, campaign_id: int, why: str) -> None:
    async with pools_of(url, token) as (_, write, who):
        await stop_campaign(write, who, campaign_id, why, datetime.now(UTC))


@campaigns.command()
@click.argument("campaign_id", type=click.IntRange(1), required=False)
@data_option()
def show(campaign_id: int | None, data: Path) -> None:
    """How campaigns go: one, or the newest."""
    for row in asyncio.run(_show(instance.database_url(data), campaign_id)):
        click.echo(
            f"{row.campaign_id}  {row.name}  {row.state}  wave {row.wave} of {row.waves}  {row.meters} meters: "
            f"{row.confirmed} done, {row.open} open, {row.failed} failed, {row.other} expired or cancelled"
            + (f"  ({row.why})" if row.why else "")
        )


async def _show(url: str, campaign_id: int | None) -> list[CampaignRow]:
    async with reading(url) as pool:
        return await list_campaigns(pool) if campaign_id is None else [await get_campaign(pool, campaign_id)]
