"""`nbwater keys`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import click

from api.queries.credentials import CredentialRow, find_credentials
from api.reasons import ending_reason
from deploy import enrolment, instance
from deploy.commands.options import data_option
from deploy.commands.reading import reading
from ingest.registry.key_rows import parse_names
from metering.credentials import CredentialKind
from metering.errors import RequestError
from metering.new_keys import KINDS

MAX_SHOWN = 500
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


def kind_option(required: bool = True) -> Callable[[Any], Any]:
    return click.option("--kind", type=click.Choice(list(KINDS)), required=required, help="What the key is for.")


def devices_option() -> Callable[[Any], Any]:
    return click.option(
        "--file", "file", type=_FILE, help="CSV or XLSX with a column device, serial or imei, instead of NAMES."
    )


def out_option() -> Callable[[Any], Any]:
    return click.option(
        "--out",
        type=click.Path(dir_okay=False, path_type=Path),
        help="New file, .csv or .xlsx, readable by you only.  [default: CSV on standard output]",
    )


def overlap_option(default: float | None) -> Callable[[Any], Any]:
    return click.option(
        "--overlap-days",
        type=click.FloatRange(0, 3660),
        default=default,
        show_default=default is not None,
        help="The present key ends then, or when the new one is used.",
    )


@click.group()
def keys() -> None:
    """Keys of meters: OSCORE, DTLS-PSK and MQTT passwords."""


@keys.command()
@click.argument("names", nargs=-1)
@devices_option()
@click.option("--all-without", is_flag=True, help="For every device in use that has no key of this kind.")
@kind_option()
@click.option("--urn", is_flag=True, help="Ids of PSKs and passwords are urn:imei:… where the device is an IMEI.")
@out_option()
@data_option()
def generate(
    names: tuple[str, ...], file: Path | None, all_without: bool, kind: str, urn: bool, out: Path | None, data: Path
) -> None:
    """Make keys for devices (by serial, IMEI or name) and write them out for the meter factory.

    The only time they can be seen: the platform keeps them sealed. All are made, or none.
    """
    chosen = None if all_without else names_of(names, file)
    if all_without and (names or file):
        raise click.UsageError("--all-without goes without NAMES and --file")
    count = asyncio.run(
        enrolment.make_keys(instance.database_url(data), enrolment.master_keys(data), KINDS[kind], chosen, out, urn)
    )
    _say(count, "made", out)


@keys.command("import")
@click.argument("file", type=_FILE)
@overlap_option(None)
@data_option()
def import_(file: Path, overlap_days: float | None, data: Path) -> None:
    """Take the keys of FILE (CSV or XLSX): columns device, serial or imei; kind, key_id, key, salt, id_context,
    server_id. All of them or, when a row is wrong, none.

    With --overlap-days they may replace keys of the same kind.
    """
    overlap = None if overlap_days is None else timedelta(days=overlap_days)
    content, url = _read(file), instance.database_url(data)
    count = asyncio.run(enrolment.import_keys(url, enrolment.master_keys(data), content, overlap))
    _say(count, "imported", None)


@keys.command()
@click.argument("names", nargs=-1)
@devices_option()
@kind_option()
@click.option("--urn", is_flag=True, help="As for generate.")
@overlap_option(30)
@out_option()
@data_option()
def rotate(
    names: tuple[str, ...], file: Path | None, kind: str, urn: bool, overlap_days: float, out: Path | None, data: Path
) -> None:
    """Make new keys for devices that have one, and write them out; the old one stays valid beside it for a time."""
    url, overlap = instance.database_url(data), timedelta(days=overlap_days)
    master = enrolment.master_keys(data)
    count = asyncio.run(enrolment.make_keys(url, master, KINDS[kind], names_of(names, file), out, urn, overlap))
    _say(count, "made", out)


@keys.command()
@click.argument("names", nargs=-1)
@devices_option()
@kind_option(required=False)
@click.option("--reason", required=True, help="Why; kept with the keys.")
@data_option()
def revoke(names: tuple[str, ...], file: Path | None, kind: str | None, reason: str, data: Path) -> None:
    """End the keys of devices now, those of one --kind or all. Gateways know it within seconds."""
    wanted = KINDS[kind] if kind else None
    text = ending_reason(reason)
    count = asyncio.run(enrolment.revoke_keys(instance.database_url(data), names_of(names, file), wanted, text))
    _say(count, "revoked", None)


@keys.command("list")
@click.option("--device", default="", help="Only those of this device (name, serial or IMEI).")
@kind_option(required=False)
@click.option("--all", "ended_too", is_flag=True, help="Also those that have ended.")
@click.option("--limit", type=click.IntRange(1, MAX_SHOWN), default=50, show_default=True)
@data_option()
def list_(device: str, kind: str | None, ended_too: bool, limit: int, data: Path) -> None:
    """Show keys, newest first; never their secrets."""
    for row in asyncio.run(_list(instance.database_url(data), device, kind, ended_too, limit)):
        click.echo(_described(row))


@keys.command()
@data_option()
def reseal(data: Path) -> None:
    """Seal all keys with the newest master key.

    Begin by adding a line to the file of master keys and starting gateways and api again; when this is done, the older
    master key may go.
    """
    count = asyncio.run(enrolment.reseal_keys(instance.database_url(data), enrolment.master_keys(data)))
    _say(count, "sealed anew", None)


async def _list(url: str, device: str, kind: str | None, ended_too: bool, limit: int) -> Sequence[CredentialRow]:
    async with reading(url) as pool:
        return await find_credentials(
            pool, device, KINDS[kind] if kind else None, valid_only=not ended_too, limit=limit
        )


def names_of(names: tuple[str, ...], file: Path | None) -> list[tuple[int, str]]:
    """Lines and names of the devices of a command, from its arguments or its file. Raises UsageError."""
    if bool(names) == (file is not None):
        raise click.UsageError("name devices, or a --file of them")
    return [(0, name) for name in names] if file is None else parse_names(_read(file))


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise RequestError(f"{file} cannot be read: {error.strerror or error}") from error


def _say(count: int, done: str, out: Path | None) -> None:
    where = f"; written to {out}" if out else ""
    click.echo(f"{count} {'key' if count == 1 else 'keys'} {done}{where}; gateways know within seconds", err=True)


def _described(row: CredentialRow) -> str:
    end = ""
    if row.revoked_at is not None:
        end = f"  ended {row.revoked_at:%Y-%m-%d %H:%M}: {row.revoked_why}"
    elif row.expires_at is not None:
        end = f"  ends {row.expires_at:%Y-%m-%d %H:%M}"
    kind = CredentialKind(row.kind).name.lower() if isinstance(row.kind, int) else row.kind
    return (
        f"{row.credential_id}  {kind:<6}  {row.device}  {row.key_id}  made {row.created_at:%Y-%m-%d %H:%M} "
        f"by {row.created_by}{end}"
    )
