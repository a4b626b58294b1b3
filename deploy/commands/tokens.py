"""`nbwater tokens`."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click

from api.accounts import FIRST_LOGIN, create_token
from api.database import open_write_pool
from api.roles import Role
from deploy import instance
from deploy.commands.options import data_option


@click.group()
def tokens() -> None:
    """API tokens."""


@tokens.command()
@click.argument("name")
@click.option("--login", default=FIRST_LOGIN, show_default=True, help="User whose token it is.")
@click.option(
    "--role",
    type=click.Choice([role.label for role in Role]),
    default=Role.VIEWER.label,
    show_default=True,
    help="What it may do; never more than its user.",
)
@click.option("--days", type=click.IntRange(1), help="Ends after this many days.  [default: never]")
@data_option()
def create(name: str, login: str, role: str, days: int | None, data: Path) -> None:
    """Make a token called NAME and print it, the only time it can be seen."""
    expires_at = datetime.now(UTC) + timedelta(days=days) if days else None
    click.echo(asyncio.run(_create(instance.database_url(data), name, login, Role.of(role), expires_at)))


async def _create(url: str, name: str, login: str, role: Role, expires_at: datetime | None) -> str:
    pool = await open_write_pool(url, size=1)
    try:
        return await create_token(pool, name, login, role, expires_at=expires_at, actor="command line")
    finally:
        await pool.close()
