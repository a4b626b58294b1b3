"""`nbwater doctor`."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from deploy.commands.options import data_option
from deploy.doctor import findings


@click.command()
@data_option()
def doctor(data: Path) -> int:
    """Try on the running platform what it promises: stream, database, keys, who may do what by MQTT."""
    return asyncio.run(_doctor(data))


async def _doctor(data: Path) -> int:
    failed = False
    async for finding in findings(data):
        failed = failed or bool(finding.failure)
        click.echo(f"{'FAIL' if finding.failure else 'ok':<4}  {finding.what:<8}  {finding.failure or finding.detail}")
    return 1 if failed else 0
