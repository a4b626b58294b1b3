"""`nbwater demo`."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from deploy import demo as town
from deploy.commands.options import data_option
from deploy.instance import DEMO_DATA
from simulators.town import MAX_HISTORY_DAYS


@click.command()
@data_option(DEMO_DATA)
@click.option("--meters", type=click.IntRange(1, 100_000), default=town.METERS, show_default=True)
@click.option(
    "--days", type=click.IntRange(0, MAX_HISTORY_DAYS), default=town.DAYS, show_default=True, help="Days of history."
)
def demo(data: Path, meters: int, days: int) -> int:
    """Run everything with a simulated town, on ports that are free."""
    return asyncio.run(town.demo(data, meters, days, click.echo))
