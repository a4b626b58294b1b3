"""`nbwater push`: the products of the push door, and what platforms did not push."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click

from api.queries.push_gaps import MissedMeter, PushGap, list_missed_meters, list_push_gaps
from deploy import instance
from deploy.commands.options import data_option
from deploy.commands.push_bindings import bind, bindings, unbind
from deploy.commands.reading import reading
from deploy.push_backfill import Door, Filled, backfill, product_of
from deploy.push_products import add, products_file
from gateway.push.products import Platform, Product, load_products
from metering.errors import RequestError
from metering.pushers import Unbound
from metering.settings import PushSettings, load

TIMES = ["%Y-%m-%dT%H:%M:%SZ"]


@click.group()
def push() -> None:
    """The HTTPS door for CTWing and Huawei."""


push.add_command(bind)
push.add_command(unbind)
push.add_command(bindings)


@push.command("add-product")
@click.argument("name")
@click.option("--platform", type=click.Choice([str(platform) for platform in Platform]), required=True)
@click.option("--network", "networks", multiple=True, help="Only from this network (CIDR); may be repeated.")
@click.option("--token-header", default="", help="Also ask for a header of this name; its value is made up.")
@click.option(
    "--unbound-devices",
    type=click.Choice([str(unbound) for unbound in Unbound]),
    default=str(Unbound.REFUSE),
    show_default=True,
    help="What it says of devices bound to no product: a dead letter, binds as their first report, taken.",
)
@data_option()
def add_product(
    name: str, platform: str, networks: tuple[str, ...], token_header: str, unbound_devices: str, data: Path
) -> None:
    """Let a product NAME push. Its secret path is made up and printed, the only time it can be seen here.

    It may speak for the devices that `nbwater push bind` or the column `pushers` of `nbwater meters import` says.
    A gateway whose door is open takes it within seconds; one that had no product yet opens it at its next start.
    """
    file = products_file(data)
    is_first = not load_products(file)
    added = add(file, name, Platform(platform), networks, token_header, Unbound(unbound_devices))
    click.echo(f"path at the platform: {added.path}")
    if token_header:
        click.echo(f"header at the platform: {token_header}: {added.token}")
    if is_first and instance.find(data) is not None:
        click.echo("the door is closed still: start nbwater again to open it", err=True)


@push.command()
@data_option()
def products(data: Path) -> None:
    """Show who may push, without secrets."""
    for product in load_products(products_file(data)):
        asked = [f"header {product.token_header}"] if product.token_header else []
        asked += [f"from {network}" for network in product.networks]
        if product.unbound_devices is not Unbound.REFUSE:
            asked.append(f"unbound devices: {product.unbound_devices}")
        commands = f"commands by {product.commands.url}" if product.commands else "no commands"
        click.echo(f"{product.name:<20} {product.platform:<13} {commands}  {', '.join(asked)}".rstrip())


@push.command()
@click.option("--hours", type=click.IntRange(1, 24 * 31), default=48, show_default=True)
@data_option()
def gaps(hours: int, data: Path) -> None:
    """Show when a platform pushed nothing although pushes were to be expected."""
    found = asyncio.run(_gaps(instance.database_url(data), hours))
    for gap in found:
        until = "now" if gap.lasts else f"{gap.until:{TIMES[0]}}"
        click.echo(f"{gap.product:<20} {gap.since:{TIMES[0]}}  {until:<20}  about {gap.missing} pushes are missing")
    click.echo(f"{len(found)} gaps in {hours} hours", err=True)


async def _gaps(url: str, hours: int) -> list[PushGap]:
    now = datetime.now(UTC)
    async with reading(url) as pool:
        return await list_push_gaps(pool, now - timedelta(hours=hours), now)


@push.command()
@click.argument("product")
@click.argument("since", type=click.DateTime(TIMES))
@click.argument("until", type=click.DateTime(TIMES))
@data_option()
def missed(product: str, since: datetime, until: datetime, data: Path) -> None:
    """Show the serials of meters that did not report in a gap, as `gaps` prints it, one a line."""
    for meter in asyncio.run(_missed(instance.database_url(data), product, since, until)):
        click.echo(meter.serial)


@push.command("backfill")
@click.argument("product")
@click.argument("since", type=click.DateTime(TIMES))
@click.argument("until", type=click.DateTime(TIMES))
@click.option("--door", default="", help="https://host:port of the push door.  [default: that of --data]")
@data_option()
def backfill_(product: str, since: datetime, until: datetime, door: str, data: Path) -> None:
    """Fetch what meters said in a gap from the platform's history, and take it in by the push door.

    Prints the serials of meters whose history says nothing: those may be asked themselves, by read_history commands.
    """
    chosen = product_of(load_products(products_file(data)), product)
    ours = Door(door or _door(data), load(PushSettings).ca)
    filled = asyncio.run(_backfill(instance.database_url(data), chosen, since, until, ours))
    for serial in filled.without:
        click.echo(serial)
    click.echo(f"{filled.pushed} reports of {filled.meters} meters from {chosen.platform}", err=True)
    for failure, count in filled.failures.most_common():
        click.echo(f"{count} x {failure}", err=True)


async def _backfill(url: str, product: Product, since: datetime, until: datetime, door: Door) -> Filled:
    missed_meters = await _missed(url, product.name, since, until)
    return await backfill(product, door, missed_meters, since.replace(tzinfo=UTC), until.replace(tzinfo=UTC))


async def _missed(url: str, product: str, since: datetime, until: datetime) -> list[MissedMeter]:
    async with reading(url) as pool:
        return await list_missed_meters(pool, product, since.replace(tzinfo=UTC), until.replace(tzinfo=UTC))


def _door(data: Path) -> str:
    """Of the platform on this data directory. Raises RequestError when it is not open."""
    settings, running = load(PushSettings), instance.find(data)
    port = running.programs.get("gateway", {}).get("push_port") if running else None
    if not port:
        raise RequestError(f"no push door is open on {data}: name it with --door https://host:port")
    host = "127.0.0.1" if settings.host in ("0.0.0.0", "::") else settings.host
    return f"{'https' if settings.tls_certificate else 'http'}://{f'[{host}]' if ':' in host else host}:{port}"
