"""`nbwater billing`: periods that are billed."""

from __future__ import annotations

import asyncio
import shutil
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

import click

from api.billing_export import ExportForm, csv_parts, workbook
from api.billing_parquet import parquet_parts, require_arrow
from api.queries.billing import PeriodRow, close_period, drop_period, get_period, list_periods, open_period
from api.queries.billing_ledger import CorrectionRow, pages_of_corrections
from api.queries.billing_lines import pages_of_lines
from api.queries.billing_preview import Preview, preview_period
from deploy import instance
from deploy.commands.commands import pools_of, token_option
from deploy.commands.options import data_option
from deploy.commands.reading import reading
from metering.settings import BillingSettings, UtilitySettings, load

DAY = click.DateTime(["%Y-%m-%d"])


@click.group()
def billing() -> None:
    """Periods that are billed, and what was corrected afterwards."""


@billing.command("list")
@data_option()
def list_(data: Path) -> None:
    """All periods with their sums, the newest first."""
    for period in asyncio.run(_list(instance.database_url(data))):
        click.echo(_described(period))


async def _list(url: str) -> list[PeriodRow]:
    async with reading(url) as pool:
        return await list_periods(pool)


@billing.command("open")
@click.argument("name")
@click.argument("first", type=DAY, metavar="FIRST")
@click.argument("last", type=DAY, metavar="LAST")
@token_option
@data_option()
def open_(name: str, first: datetime, last: datetime, token: str, data: Path) -> None:
    """Name the local days FIRST to LAST, both included."""
    asyncio.run(_open(instance.database_url(data), token, name, first, last))


async def _open(url: str, token: str, name: str, first: datetime, last: datetime) -> None:
    async with pools_of(url, token) as (_, write, who):
        await open_period(write, who, name, first.date(), last.date(), datetime.now(UTC))


@billing.command()
@click.argument("name")
@data_option()
def preview(name: str, data: Path) -> None:
    """What closing NAME would write down, and which meters would be billed by estimate."""
    found = asyncio.run(_preview(instance.database_url(data), name))
    for field in fields(found):
        if field.name not in ("doubtful", "silent_serials"):
            click.echo(f"{field.name}  {getattr(found, field.name)}")
    for serial in found.silent_serials:
        click.echo(f"{serial}  without any data")
    for line in found.doubtful:
        why = " ".join((line.quality, *line.reasons))
        days = (
            f"{line.estimated_days} estimated, {line.interpolated_days} interpolated, {line.missing_days} missing days"
        )
        click.echo(f"{line.serial}  {line.billed_ml} ml  {days}  {why}")


async def _preview(url: str, name: str) -> Preview:
    async with reading(url) as pool:
        period = await get_period(pool, name)
        return await preview_period(pool, period, load(UtilitySettings).zone, datetime.now(UTC))


@billing.command()
@click.argument("name")
@click.option("--reason", required=True, help="Goes into the audit log.")
@token_option
@data_option()
def close(name: str, reason: str, token: str, data: Path) -> None:
    """Write down what each installation took, for good. Later corrections go into the ledger."""
    click.echo(_described(asyncio.run(_close(instance.database_url(data), token, name, reason))))


async def _close(url: str, token: str, name: str, reason: str) -> PeriodRow:
    zone, settlement_day = load(UtilitySettings).zone, load(BillingSettings).settlement_day
    async with pools_of(url, token) as (read, write, who):
        await close_period(write, who, name, zone, settlement_day, datetime.now(UTC), reason)
        return await get_period(read, name)


@billing.command()
@click.argument("name")
@click.option("--reason", required=True, help="Goes into the audit log.")
@token_option
@data_option()
def drop(name: str, reason: str, token: str, data: Path) -> None:
    """Take the open period NAME back, because its days or its name were wrong."""
    asyncio.run(_drop(instance.database_url(data), token, name, reason))


async def _drop(url: str, token: str, name: str, reason: str) -> None:
    async with pools_of(url, token) as (_, write, who):
        await drop_period(write, who, name, reason)


@billing.command()
@click.argument("name")
@click.option("--carried", is_flag=True, help="Those of earlier periods that are billed with NAME.")
@data_option()
def corrections(name: str, carried: bool, data: Path) -> None:
    """The ledger of a period: what turned out different after it was closed."""
    asyncio.run(_corrections(instance.database_url(data), name, carried))


async def _corrections(url: str, name: str, carried: bool) -> None:
    async with reading(url) as pool:
        async for rows in pages_of_corrections(pool, name, carried):
            for row in rows:
                click.echo(_correction(row))


def _correction(row: CorrectionRow) -> str:
    change = f"{row.before_ml} -> {row.after_ml} ml ({row.difference_ml:+d})"
    why = " ".join((row.quality, *row.reasons))
    return (
        f"{row.found_at:%Y-%m-%dT%H:%M:%SZ}  {row.period}  {row.serial}  {change}  {why}  "
        f"billed with {row.carried_to or '-'}"
    )


@billing.command()
@click.argument("name")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--format", "form", type=click.Choice(list(ExportForm)), help="By default what the FILE's name ends with."
)
@data_option()
def export(name: str, file: Path, form: str | None, data: Path) -> None:
    """Write the lines of a period to FILE, which stays as it was until then; of an open one what is known now."""
    try:
        wanted = ExportForm(form or file.suffix.lstrip(".").lower())
    except ValueError as error:
        raise click.UsageError("FILE ends with .csv, .xlsx or .parquet, or --format says which") from error
    if wanted is ExportForm.PARQUET:
        require_arrow()
    part = file.with_name(f"{file.name}.part")
    try:
        with part.open("wb") as out:
            asyncio.run(_export(instance.database_url(data), name, out, wanted))
        part.replace(file)
    finally:
        part.unlink(missing_ok=True)


async def _export(url: str, name: str, out: IO[bytes], form: ExportForm) -> None:
    async with reading(url) as pool:
        pages = pages_of_lines(pool, await get_period(pool, name), load(UtilitySettings).zone)
        if form is ExportForm.XLSX:
            with await workbook(pages) as book:
                shutil.copyfileobj(book, out)
            return
        if form is ExportForm.PARQUET:
            async for block in parquet_parts(pages):
                out.write(block)
            return
        async for part in csv_parts(pages):
            out.write(part.encode())


def _described(period: PeriodRow) -> str:
    of = f"{period.name}  {period.first_day} to {period.last_day}  {period.state}"
    if period.closed_by is None:
        return of
    corrections = f"{period.corrections} corrections ({period.corrected_ml:+d} ml)"
    sums = f"{period.entries} entries, {period.billed_ml} ml, {corrections}"
    return f"{of}  {sums}"
