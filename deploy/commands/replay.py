"""`nbwater replay`."""

from __future__ import annotations

import asyncio
import getpass
import sys
import time
from collections import Counter
from datetime import datetime
from pathlib import Path

import click

from deploy import instance
from deploy.commands.options import data_option
from deploy.servers import database_pool
from ingest.replay.run import Choice, Difference, Replay
from metering.settings import IngestSettings, UtilitySettings, load

MAX_SHOWN_METERS = 1_000
PROGRESS_EVERY_S = 2.0


@click.command()
@click.option("--since", required=True, type=click.DateTime(), help="Reports received from this local time on.")
@click.option("--until", type=click.DateTime(), help="To before this local time.  [default: now]")
@click.option("--meters", help="Serials, separated by commas.  [default: all]")
@click.option("--decoder", help="Only reports that this decoder read when they came.")
@click.option("--dry-run", is_flag=True, help="Show the differences of each meter and change nothing.")
@data_option()
def replay(
    since: datetime, until: datetime | None, meters: str | None, decoder: str | None, dry_run: bool, data: Path
) -> None:
    """Read stored raw reports with today's decoders and put their readings right.

    May run while the platform does; each batch of meters holds up the taking of reports for a moment. Readings that are
    new are added; where all reports that may have delivered a reading are read anew, it is what they say today, and its
    old value is kept in `corrections`; elsewhere it stays, and what contradicts it is kept in `conflicts`. Consumption
    follows by itself. Run again with the same options, one that was cut off goes on where it was.
    """
    zone = load(UtilitySettings).zone
    serials = tuple(sorted({serial.strip() for serial in meters.split(",") if serial.strip()})) if meters else None
    choice = Choice(since.replace(tzinfo=zone), until.replace(tzinfo=zone) if until else None, serials, decoder)
    totals = asyncio.run(_run(instance.database_url(data), choice, dry_run))
    click.echo(_summary(totals, dry_run))


async def _run(url: str, choice: Choice, dry: bool) -> Counter[str]:
    totals: Counter[str] = Counter()
    shown = 0
    next_progress = time.monotonic() + PROGRESS_EVERY_S
    async with database_pool(url) as pool, pool.acquire() as connection:
        actor = f"{getpass.getuser()} (nbwater replay)"
        run = Replay(connection, load(IngestSettings), load(UtilitySettings).zone, actor)
        async for progress in run.run(choice, dry):
            if progress.resumed and not totals:
                click.echo("going on where the replay before was cut off", err=True)
            totals = progress.totals
            for difference in progress.differences:
                if difference.differs and shown < MAX_SHOWN_METERS:
                    click.echo(described(difference))
                    shown += 1
                    if shown == MAX_SHOWN_METERS:
                        click.echo("… further meters are only counted")
            if time.monotonic() >= next_progress:
                next_progress = time.monotonic() + PROGRESS_EVERY_S
                click.echo(f"{totals['meters']:,} meters, {totals['reports']:,} reports", err=True)
                sys.stderr.flush()
    return totals


def described(difference: Difference) -> str:
    """One line about a meter that differs."""
    parts = [
        f"{number:,} {word}"
        for word, number in (
            ("added", difference.added), ("changed", difference.changed), ("withdrawn", difference.withdrawn),
            ("contradicted", difference.contradicted), ("unchanged", difference.unchanged),
        )
        if number
    ]  # fmt: skip
    parts += [f"{number:,} now undecodable ({reason})" for reason, number in sorted(difference.undecodable.items())]
    return f"{difference.serial}: {', '.join(parts)}"


def _summary(totals: Counter[str], dry: bool) -> str:
    would = "would be " if dry else ""
    lines = [
        f"{totals['reports']:,} reports of {totals['meters']:,} meters; {totals['meters_that_differ']:,} differ",
        f"readings: {totals['added']:,} {would}added, {totals['changed']:,} {would}changed, "
        f"{totals['withdrawn']:,} {would}withdrawn, {totals['contradicted']:,} contradicted, "
        f"{totals['unchanged']:,} unchanged",
    ]
    if totals["undecodable"]:
        lines.append(f"{totals['undecodable']:,} reports cannot be read any more and stay as they are")
    if totals["without_bytes"]:
        lines.append(f"{totals['without_bytes']:,} reports have no raw bytes any more and stay as they are")
    return "\n".join(lines)
