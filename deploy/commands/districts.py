"""`nbwater districts`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from deploy import instance
from deploy.commands.options import data_option
from deploy.servers import connect_database
from metering.errors import RequestError
from metering.settings import UtilitySettings, load
from metering.zones.rows import parse_flows, parse_geojson
from metering.zones.take import import_features, import_flows

T = TypeVar("T")
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.group()
def districts() -> None:
    """Zones, and the meters at their inlets and outlets."""


@districts.command("flows")
@click.argument("file", type=_FILE)
@data_option()
def flows(file: Path, data: Path) -> None:
    """Take the bulk meters of FILE (CSV or XLSX): zone, meter (its serial), direction (in or out), and if wanted
    valid_from and valid_to."""
    rows = parse_flows(_content(file), load(UtilitySettings).zone)
    count = asyncio.run(_with_database(data, lambda connection: import_flows(connection, rows)))
    click.echo(f"{count} inlets and outlets imported")


@districts.command("geojson")
@click.argument("file", type=_FILE)
@data_option()
def geojson(file: Path, data: Path) -> None:
    """Take the zones (polygons) and places of meters (points) of FILE (GeoJSON).

    Properties of a polygon: code, and any of name, kind, parent, mains_m, connections, pressure_m; of a point: serial.
    """
    features = parse_geojson(_content(file))
    zones, meters = asyncio.run(_with_database(data, lambda connection: import_features(connection, features)))
    click.echo(f"{zones} zones and the places of {meters} meters imported")


def _content(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise RequestError(f"{file} cannot be read: {error.strerror or error}") from error


async def _with_database(data: Path, work: Callable[[Any], Awaitable[T]]) -> T:
    connection = await connect_database(instance.database_url(data))
    try:
        return await work(connection)
    finally:
        await connection.close()
