"""`nbwater users`."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from api.accounts import set_password as store_password
from api.database import open_write_pool
from api.passwords import new_password
from api.queries.people import UserRow, list_users
from deploy import instance
from deploy.commands.options import data_option
from deploy.commands.reading import reading


@click.group()
def users() -> None:
    """People who log in to the pages."""


@users.command("list")
@data_option()
def list_(data: Path) -> None:
    """Show logins, roles, and who has a one-time password or is locked out."""
    for user in asyncio.run(_list(instance.database_url(data))):
        notes = [
            note for note, holds in (("one-time password", user.must_change), ("disabled", not user.enabled)) if holds
        ]
        click.echo(f"{user.login:<20} {user.role:<14} since {user.created_at:%Y-%m-%d}  {', '.join(notes)}".rstrip())


@users.command("set-password")
@click.argument("login")
@click.option("--ask", is_flag=True, help="Ask for the password, do not make one up.")
@data_option()
def set_password(login: str, ask: bool, data: Path) -> None:
    """Give LOGIN a one-time password, to be changed at the next login; whoever is logged in as LOGIN is logged out.

    The made-up password is printed, the only time it can be seen. For who lost the first administrator's: LOGIN admin.
    """
    url = instance.database_url(data)
    password = click.prompt("One-time password", hide_input=True, confirmation_prompt=True) if ask else new_password()
    asyncio.run(_set_password(url, login, password))
    click.echo("done; it is to be changed at the next login" if ask else password)


async def _list(url: str) -> list[UserRow]:
    async with reading(url) as pool:
        return await list_users(pool)


async def _set_password(url: str, login: str, password: str) -> None:
    pool = await open_write_pool(url, size=1)
    try:
        await store_password(pool, login, password, actor="command line", must_change=True)
    finally:
        await pool.close()
