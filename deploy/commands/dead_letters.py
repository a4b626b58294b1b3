"""`nbwater dead-letters`."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import click

from api.queries.dead_letters import DeadLetterRow, count_reasons, list_dead_letters
from deploy import instance
from deploy.commands.options import data_option
from deploy.commands.reading import reading
from deploy.servers import database_pool
from ingest.dead_letters import Replayed, open_ids
from ingest.dead_letters import replay as replay_letters
from metering.errors import NotFoundError
from metering.settings import IngestSettings, UtilitySettings, load

MAX_SHOWN = 500
SHOWN_BYTES = 64
"""Of each report, unless all are asked for."""


@click.group("dead-letters")
def dead_letters() -> None:
    """Reports that could not be taken."""


@dead_letters.command("list")
@click.option("--reason", help="Only those with this reason.")
@click.option("--device", help="Only those of this device.")
@click.option("--all", "replayed_too", is_flag=True, help="Also those replayed already.")
@click.option("--limit", type=click.IntRange(1, MAX_SHOWN), default=50, show_default=True)
@click.option("--full", is_flag=True, help=f"All bytes of each, not only the first {SHOWN_BYTES}.")
@data_option()
def list_(reason: str | None, device: str | None, replayed_too: bool, limit: int, full: bool, data: Path) -> None:
    """Show what waits, newest first, with its bytes."""
    waiting = None if replayed_too else True
    asyncio.run(_list(instance.database_url(data), reason, device, waiting, limit, None if full else SHOWN_BYTES))


async def _list(
    url: str, reason: str | None, device: str | None, waiting: bool | None, limit: int, shown_bytes: int | None
) -> None:
    async with reading(url) as pool:
        found = await list_dead_letters(pool, waiting=waiting, reason=reason, device=device, limit=limit)
        reasons = await count_reasons(pool)
    for letter in found.items:
        click.echo(_described(letter, shown_bytes))
    total = sum(reason.waiting for reason in reasons)
    click.echo(f"{total} waiting" + "".join(f"; {reason.waiting} {reason.reason}" for reason in reasons), err=True)


@dead_letters.command()
@click.argument("ids", nargs=-1, type=click.IntRange(1))
@click.option("--reason", help="Only those with this reason.")
@data_option()
def replay(ids: tuple[int, ...], reason: str | None, data: Path) -> None:
    """Run what waits through today's decoders: all, or those with a reason, or the IDS that list shows.

    May run while the platform does. What still cannot be taken stays, with its new reason. Nothing is done when one of
    the IDS is not open.
    """
    done = asyncio.run(_replay(instance.database_url(data), reason, ids or None))
    click.echo(
        f"{done.stored} stored, {done.partial} in part, {done.duplicate} duplicates, {done.dead_lettered} still wait"
    )


async def _replay(url: str, reason: str | None, ids: Sequence[int] | None) -> Replayed:
    async with database_pool(url) as pool:
        if missing := sorted(set(ids or ()) - set(await open_ids(pool, ids or ()))):
            raise NotFoundError(f"no open dead letter {', '.join(map(str, missing))}")
        return await replay_letters(pool, load(IngestSettings), load(UtilitySettings).zone, reason, ids)


def _described(letter: DeadLetterRow, shown_bytes: int | None) -> str:
    replayed = f"  replayed {letter.replayed_at:%Y-%m-%d %H:%M}" if letter.replayed_at else ""
    what = (
        f"{letter.dead_letter_id}  {letter.received_at:%Y-%m-%dT%H:%M:%SZ}  {letter.device}  "
        f"format {letter.content_format}  {letter.reason}: {letter.message}{replayed}"
    )
    return f"{what}\n    {shortened(letter.payload_hex, shown_bytes)}"


def shortened(payload_hex: str, shown_bytes: int | None) -> str:
    """The first bytes, and how many there are; None: all of them."""
    if shown_bytes is None or len(payload_hex) <= 2 * shown_bytes:
        return payload_hex
    return f"{payload_hex[: 2 * shown_bytes]}… ({len(payload_hex) // 2} bytes)"
