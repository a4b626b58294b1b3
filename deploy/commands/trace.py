"""`nbwater trace`."""

from __future__ import annotations

import asyncio
from datetime import datetime
from pathlib import Path

import click

from api.queries.trace import Step, Trace, get_trace
from deploy import instance
from deploy.commands.options import data_option
from deploy.commands.reading import reading
from metering.settings import UtilitySettings, load


@click.command()
@click.argument("report_id")
@data_option()
def trace(report_id: str, data: Path) -> None:
    """Show what is known of one report, in the order in which it happened.

    REPORT_ID is the id that the gateway gave it: it stands on the meter's page, in REST answers and in log lines.
    """
    found = asyncio.run(_trace(instance.database_url(data), report_id))
    for step in found.steps:
        click.echo(_described(step))
    if found.outcome is None:
        click.echo("not in the database: still in flight, refused, or never sent")


async def _trace(url: str, report_id: str) -> Trace:
    async with reading(url) as pool:
        return await get_trace(pool, report_id, load(UtilitySettings).zone.key)


def _described(step: Step) -> str:
    at = _said(step.at) if step.at else ""
    detail = "  ".join(f"{name}={_said(value)}" for name, value in step.detail.items() if value is not None)
    return f"{at:<27}  {step.key:<11}  {detail}".rstrip()


def _said(value: object) -> str:
    return f"{value:%Y-%m-%dT%H:%M:%S.%fZ}" if isinstance(value, datetime) else str(value)
