"""`nbwater push bind`, `unbind`, `bindings`: for which devices a product may speak."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import click

from api.queries.pushers import BindingRow, find_bindings
from api.reasons import ending_reason
from deploy import instance
from deploy import push_bindings as acts
from deploy.commands.keys import MAX_SHOWN, devices_option, names_of
from deploy.commands.options import data_option
from deploy.commands.reading import reading
from deploy.push_products import check_is_product


@click.command()
@click.argument("product")
@click.argument("names", nargs=-1)
@devices_option()
@click.option("--all-of", default="", help="Every device that is bound to this other product, instead of NAMES.")
@click.option("--beside", is_flag=True, help="Products that may speak for the devices already keep that right.")
@data_option()
def bind(product: str, names: tuple[str, ...], file: Path | None, all_of: str, beside: bool, data: Path) -> None:
    """Let a PRODUCT speak for devices (by serial, IMEI or name), and no other product any more.

    What it pushed for them before, and was refused as `foreign_device`, comes in by `nbwater dead-letters replay`.
    """
    check_is_product(data, product)
    url = instance.database_url(data)
    if all_of:
        if names or file:
            raise click.UsageError("--all-of goes without NAMES and --file")
        count = asyncio.run(acts.bind_all_of(url, product, all_of, beside=beside))
    else:
        count = asyncio.run(acts.bind_devices(url, product, names_of(names, file), beside=beside))
    click.echo(f"{count} device{'' if count == 1 else 's'} bound to {product}; gateways know within seconds", err=True)


@click.command()
@click.argument("names", nargs=-1)
@devices_option()
@click.option("--product", default=None, help="Only this one.  [default: every one]")
@click.option("--reason", required=True, help="Why; kept with the bindings.")
@data_option()
def unbind(names: tuple[str, ...], file: Path | None, product: str | None, reason: str, data: Path) -> None:
    """End the right of products to speak for devices, now: not even a product that takes unbound devices may then."""
    text, url = ending_reason(reason), instance.database_url(data)
    count = asyncio.run(acts.unbind_devices(url, names_of(names, file), product, text))
    click.echo(f"{count} binding{'' if count == 1 else 's'} ended; gateways know within seconds", err=True)


@click.command()
@click.option("--device", default="", help="Only those of this device (name, serial or IMEI).")
@click.option("--product", default="", help="Only those of this product.")
@click.option("--all", "ended_too", is_flag=True, help="Also those that have ended.")
@click.option("--limit", type=click.IntRange(1, MAX_SHOWN), default=50, show_default=True)
@data_option()
def bindings(device: str, product: str, ended_too: bool, limit: int, data: Path) -> None:
    """Show which product may speak for which device, newest first."""
    for row in asyncio.run(_list(instance.database_url(data), device, product, ended_too, limit)):
        end = f"  ended {row.ended_at:%Y-%m-%d %H:%M} by {row.ended_by}: {row.ended_why}" if row.ended_at else ""
        bound = f"bound {row.bound_at:%Y-%m-%d %H:%M} by {row.bound_by}"
        click.echo(f"{row.binding_id}  {row.device}  {row.product:<20}  {bound}{end}")


async def _list(url: str, device: str, product: str, ended_too: bool, limit: int) -> Sequence[BindingRow]:
    async with reading(url) as pool:
        return await find_bindings(pool, device, product, open_only=not ended_too, limit=limit)
