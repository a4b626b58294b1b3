"""`nbwater plan`."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click

from api.queries.commanding import MAX_ORDERS, Filing, Order, file_commands
from api.queries.habits import Habits, measured_habits
from api.reporting_plan import MINUTE_S, Spread, retransmissions, spread
from deploy import instance
from deploy.commands.commands import pools_of, token_option
from deploy.commands.options import data_option
from deploy.servers import database_pool
from metering.commands import CommandKind
from metering.settings import CommandSettings, UtilitySettings, load

DAY_S = 86_400
TTL = timedelta(days=7)
"""A daily meter that misses some days still hears of its plan."""

BAR_MINUTES, BAR_CHARACTERS = 60, 50


@click.group()
def plan() -> None:
    """When meters report."""


@plan.command("spread")
@click.option("--days", type=click.IntRange(1, 31), default=3, show_default=True, help="Days to measure.")
@click.option(
    "--capacity", type=click.IntRange(1), default=600, show_default=True,
    help="Reports a minute that the network takes, for the estimate of retransmissions.",
)  # fmt: skip
@click.option("--interval-s", type=click.IntRange(60, DAY_S), default=3600, show_default=True, help="Between readings.")
@click.option("--limit", type=click.IntRange(1), default=10_000, show_default=True, help="Meters told at most.")
@click.option("--file", "really", is_flag=True, help="File the commands; without it nothing is changed.")
@token_option
@data_option()
def spread_(days: int, capacity: int, interval_s: int, limit: int, really: bool, token: str, data: Path) -> None:
    """Measure when daily meters report, and give those of crowded minutes other times.

    Without --file it only says what would change.
    """
    url = instance.database_url(data)
    habits = asyncio.run(_measure(url, days))
    found = spread(habits.daily)
    _describe(habits, found, capacity)
    if not really:
        click.echo("nothing was changed: --file files the commands")
        return
    filed = asyncio.run(_file(url, token, found.moves[:limit], interval_s))
    click.echo(f"{filed} plans filed, {len(found.moves) - filed} meters left for later runs")


async def _measure(url: str, days: int) -> Habits:
    until = datetime.now(UTC)
    async with database_pool(url) as pool, pool.acquire() as connection:
        return await measured_habits(connection, until - timedelta(days=days), until)


def _describe(habits: Habits, found: Spread, capacity: int) -> None:
    zone = load(UtilitySettings).zone
    offset_minutes = int((datetime.now(zone).utcoffset() or timedelta()).total_seconds()) // MINUTE_S
    click.echo(
        f"{len(habits.daily)} daily meters; {habits.planned} have a plan that waits, {habits.frequent} report oftener"
    )
    for name, minutes in (("now", found.before), ("then", found.after)):
        local = minutes[-offset_minutes:] + minutes[:-offset_minutes] if offset_minutes else minutes
        hours = [sum(local[at : at + BAR_MINUTES]) for at in range(0, len(local), BAR_MINUTES)]
        most = max(1, *hours)
        click.echo(f"{name}: reports by hour of the day ({zone})")
        for hour, reports in enumerate(hours):
            click.echo(f"  {hour:02d}  {'#' * (BAR_CHARACTERS * reports // most):<{BAR_CHARACTERS}} {reports}")
    again_before, again_after = (retransmissions(minutes, capacity) for minutes in (found.before, found.after))
    click.echo(f"fullest minute: {found.peak_before} reports now, {found.peak_after} then")
    click.echo(f"retransmissions a day at {capacity} a minute: about {again_before} now, {again_after} then")
    click.echo(f"all meters together had {max(habits.minutes)} reports in their fullest minute")
    click.echo(f"{len(found.moves)} meters would be told")


async def _file(url: str, token: str, moves: list[tuple[str, int]], interval_s: int) -> int:
    """In batches, each whole; how many were filed. Raises what `file_commands` does, after the batches before."""
    filed = 0
    async with pools_of(url, token) as (_, write, who):
        for start in range(0, len(moves), MAX_ORDERS):
            batch = moves[start : start + MAX_ORDERS]
            orders = [
                Order(serial, {"period_s": DAY_S, "offset_s": second, "interval_s": interval_s})
                for serial, second in batch
            ]
            filing = Filing(CommandKind.REPORTING_PLAN, orders, "plan spread", TTL)
            filed += len(await file_commands(write, who, filing, load(CommandSettings), datetime.now(UTC)))
    return filed
