"""`nbwater migrate`."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from deploy import instance, servers
from deploy.commands.options import data_option
from ingest.schema.migrate import migrate as migrate_database
from metering.settings import NatsSettings, load


@click.command()
@data_option()
def migrate(data: Path) -> None:
    """Bring database and streams to this release.

    Forward only; may run while the platform does. Works on NBWATER_DATABASE_URL and NBWATER_NATS_URL, else on what
    runs on --data. The streams are left alone when only the database is given.
    """
    asyncio.run(_migrate(data))


async def _migrate(data: Path) -> None:
    database_url = instance.database_url(data)
    settings = load(NatsSettings)
    applied = await migrate_database(database_url)
    click.echo(f"database at {servers.place(database_url)}: {', '.join(applied) or 'nothing to do'}")
    running = instance.find(data)
    if nats_url := settings.url.get_secret_value() or (running.nats_url if running else ""):
        await servers.ensure_streams(nats_url, settings)
        click.echo(f"streams at {servers.place(nats_url)}: as they must be")
    else:
        click.echo("streams: left alone, NBWATER_NATS_URL is not set", err=True)
