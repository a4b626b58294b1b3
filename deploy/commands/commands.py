"""`nbwater commands`."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click

from api.auth import Auth
from api.database import ReadPool, WritePool, open_write_pool
from api.queries.commanding import Filing, Order, approve_command, cancel_command, file_commands
from api.queries.commands import CommandDetail, CommandFilter, CommandRow, get_command, list_commands
from api.queries.paging import MAX_LIMIT
from api.roles import Principal, UnauthenticatedError
from deploy import instance
from deploy.commands.options import Command, data_option
from deploy.commands.reading import reading
from metering.command_arguments import kind_name
from metering.commands import CommandKind, CommandState, Recall
from metering.errors import RequestError
from metering.settings import CommandSettings, load

TOKEN_VARIABLE = "NBWATER_TOKEN"  # noqa: S105 - the name of a variable
KINDS = {kind_name(kind): kind for kind in CommandKind if kind is not CommandKind.FIRMWARE}


def token_option(command: Command) -> Command:
    """Who is asking: what people may do is theirs here as in the browser, and so is what they did."""
    option = click.option(
        "--token", envvar=TOKEN_VARIABLE, default="", help=f"API token of who asks; better {TOKEN_VARIABLE}."
    )
    return option(command)


@asynccontextmanager
async def pools_of(url: str, token: str) -> AsyncIterator[tuple[ReadPool, WritePool, Principal]]:
    """Raises UnauthenticatedError when the token is none."""
    async with reading(url) as read:
        write = await open_write_pool(url, size=1)
        try:
            who = await Auth(read, write, 0).token_of(token) if token else None
            if who is None:
                raise UnauthenticatedError(f"whose token? set {TOKEN_VARIABLE}; `nbwater tokens create` makes one")
            yield read, write, who
        finally:
            await write.close()


@click.group()
def commands() -> None:
    """What meters are told to do, and what became of it."""


@commands.command()
@click.argument("kind", type=click.Choice(list(KINDS)))
@click.argument("serials", nargs=-1, required=True)
@click.option("--set", "settings", multiple=True, metavar="NAME=VALUE", help="An argument, such as valve=close.")
@click.option("--reason", default="", help="Why; needed for valves and raw frames.")
@click.option("--ttl-h", type=click.FloatRange(0, min_open=True), help="It expires after so many hours.")
@token_option
@data_option()
def file(
    kind: str, serials: tuple[str, ...], settings: tuple[str, ...], reason: str, ttl_h: float | None, token: str,
    data: Path,
) -> None:  # fmt: skip
    """File a command of KIND for the meters SERIALS.

    Closing a valve then waits for somebody else's `nbwater commands approve`.
    """
    arguments = dict(map(_argument, settings))
    ttl = None if ttl_h is None else timedelta(hours=ttl_h)
    filing = Filing(KINDS[kind], [Order(serial, arguments) for serial in serials], reason, ttl)
    ids = asyncio.run(_file(instance.database_url(data), token, filing))
    for serial, command_id in zip(serials, ids, strict=True):
        click.echo(f"{command_id}  {serial}")


async def _file(url: str, token: str, filing: Filing) -> list[str]:
    async with pools_of(url, token) as (_, write, who):
        return await file_commands(write, who, filing, load(CommandSettings), datetime.now(UTC))


def _argument(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals:
        raise RequestError(f"{text!r} is not NAME=VALUE")
    return name, int(value) if value.lstrip("-").isdecimal() and name != "frame" else value


@commands.command("list")
@click.option("--state", "states", multiple=True, type=click.Choice([str(state) for state in CommandState]))
@click.option("--kind", type=click.Choice([kind_name(kind) for kind in CommandKind]))
@click.option("--serial", help="Only those of this meter.")
@click.option("--limit", type=click.IntRange(1, MAX_LIMIT), default=50, show_default=True)
@data_option()
def list_(states: tuple[str, ...], kind: str | None, serial: str | None, limit: int, data: Path) -> None:
    """Show commands, the newest first."""
    wanted = CommandFilter(
        [CommandState(state) for state in states], CommandKind[kind.upper()] if kind else None, serial
    )
    for row in asyncio.run(_list(instance.database_url(data), wanted, limit)):
        click.echo(_line(row))


async def _list(url: str, wanted: CommandFilter, limit: int) -> Sequence[CommandRow]:
    async with reading(url) as pool:
        return (await list_commands(pool, wanted, limit=limit)).items


@commands.command()
@click.argument("command_id")
@data_option()
def show(command_id: str, data: Path) -> None:
    """Show one command with its life."""
    found = asyncio.run(_show(instance.database_url(data), command_id))
    click.echo(_line(found.command))
    for event in found.events:
        detail = f"  {event.detail}" if event.detail else ""
        click.echo(f"    {event.at:%Y-%m-%dT%H:%M:%SZ}  {event.state:<18}{event.actor}{detail}")


async def _show(url: str, command_id: str) -> CommandDetail:
    async with reading(url) as pool:
        return await get_command(pool, command_id)


@commands.command()
@click.argument("command_id")
@token_option
@data_option()
def approve(command_id: str, token: str, data: Path) -> None:
    """Say, as the second person, that a valve may be closed."""
    asyncio.run(_approve(instance.database_url(data), token, command_id))
    click.echo(f"{command_id} is queued")


async def _approve(url: str, token: str, command_id: str) -> None:
    async with pools_of(url, token) as (_, write, who):
        await approve_command(write, who, command_id, load(CommandSettings), datetime.now(UTC))


@commands.command()
@click.argument("command_id")
@click.option("--reason", default="", help="Why.")
@token_option
@data_option()
def cancel(command_id: str, reason: str, token: str, data: Path) -> None:
    """Call a command back. A meter that has it already may have obeyed, and then says so."""
    asyncio.run(_cancel(instance.database_url(data), token, command_id, reason))
    click.echo(f"{command_id} is cancelled")


async def _cancel(url: str, token: str, command_id: str, reason: str) -> None:
    async with pools_of(url, token) as (_, write, who):
        await cancel_command(write, who, command_id, reason, datetime.now(UTC))


def _line(row: CommandRow) -> str:
    arguments = json.dumps(row.arguments, ensure_ascii=False) if row.arguments else ""
    told = f"  handed over {row.handovers}×" if row.handovers else ""
    told += "  COULD NOT BE RECALLED" if row.recall is Recall.NOT_RECALLED else ""
    return (
        f"{row.command_id}  {row.filed_at:%Y-%m-%dT%H:%M:%SZ}  {row.serial or row.device}  {row.kind}{arguments}  "
        f"{row.state}{told}  by {row.filed_by}" + (f": {row.reason}" if row.reason else "")
    )
