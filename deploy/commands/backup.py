"""`nbwater backup`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from deploy import instance
from deploy.commands.options import data_option
from deploy.servers import database_pool
from ingest import restore_points
from metering.settings import NatsSettings, load

Result = TypeVar("Result")


@click.group()
def backup() -> None:
    """Copies of the database, and the stream that is kept for them.

    Mark, then copy (pg_dump, pg_basebackup, a snapshot); unmark when the copy is deleted. A database restored from a
    marked copy catches up by itself, however old the copy is.
    """


@backup.command()
@click.argument("label")
@data_option()
def mark(label: str, data: Path) -> None:
    """Keep the stream for a copy that is made from now on. Call it before the copy is begun, one LABEL for each.

    The stream grows until LABEL is unmarked: when it is full, meters are told to come back later.
    """
    partitions = load(NatsSettings).partitions
    _with_pool(data, lambda pool: restore_points.mark(pool, label, partitions))
    click.echo(f"{label}: the stream is kept for copies begun from now on, until `nbwater backup unmark {label}`")


@backup.command()
@click.argument("label")
@data_option()
def unmark(label: str, data: Path) -> None:
    """The copy LABEL is gone or not needed: its part of the stream may be removed."""
    _with_pool(data, lambda pool: restore_points.unmark(pool, label))
    click.echo(f"{label}: unmarked")


@backup.command("list")
@data_option()
def list_(data: Path) -> None:
    """Show what is marked, oldest first."""
    for point in _with_pool(data, restore_points.marked):
        click.echo(f"{point.label:<20} {point.created_at:%Y-%m-%dT%H:%M:%SZ}  stream kept above {point.sequence}")


def _with_pool(data: Path, work: Callable[[Any], Awaitable[Result]]) -> Result:
    async def run() -> Result:
        async with database_pool(instance.database_url(data)) as pool:
            return await work(pool)

    return asyncio.run(run())
