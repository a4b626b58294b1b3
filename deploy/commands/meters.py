"""`nbwater meters`."""

from __future__ import annotations

import asyncio
from ipaddress import ip_network
from pathlib import Path

import click

from deploy import instance
from deploy.commands.options import data_option
from deploy.registration import register_file
from ingest.registry.import_meters import LOOPBACK
from metering.errors import RequestError


class Networks(click.ParamType[tuple[str, ...]]):
    """Networks in CIDR notation, separated by commas."""

    name = "CIDR,…"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        if isinstance(value, tuple):
            return value
        try:
            return tuple(str(ip_network(part.strip())) for part in str(value).split(",") if part.strip())
        except ValueError as error:
            self.fail(f"{error}; write networks as 10.20.0.0/16,2001:db8::/32", param, ctx)


@click.group()
def meters() -> None:
    """The registry of meters."""


@meters.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--plain-coap",
    type=Networks(),
    default=LOOPBACK,
    help="Networks these meters may speak from without a key.  [default: loopback only]",
)
@data_option()
def import_(file: Path, plain_coap: tuple[str, ...], data: Path) -> None:
    """Take the meters of FILE (CSV or XLSX) into the registry; all of them or, when a row is wrong, none.

    The header names the columns: serial, and any of imei, maker, model, dn_mm, q3_m3h, zone, address, latitude,
    longitude, installed_at, critical, plain_sources, pushers, multiplier, start_index_m3, replaces. A meter that is
    known already is changed to what the file says; one that replaces another takes its place.
    """
    try:
        content = file.read_bytes()
    except OSError as error:
        raise RequestError(f"{file} cannot be read: {error.strerror or error}") from error
    count = asyncio.run(register_file(instance.database_url(data), content, plain_coap))
    if count == 1:
        click.echo("1 meter imported; gateways know it within seconds")
    else:
        click.echo(f"{count} meters imported; gateways know them within seconds")
