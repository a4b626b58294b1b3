"""`nbwater decode`."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from ingest.decoders import Decoders
from ingest.decoders.mapping import decoder_of, load_file
from ingest.dialects import decoders_of
from metering.alarms import names
from metering.errors import DecodeError
from metering.model import ContentFormat, DecodedReport
from metering.settings import IngestSettings, load

MAX_BYTES = 1 << 20
FORMATS: Mapping[str, int] = {member.name.lower(): int(member) for member in ContentFormat}


@click.command()
@click.option(
    "--format", "format_", default="octet_stream", show_default=True,
    help=f"{', '.join(FORMATS)}, or the number of a Content-Format.",
)  # fmt: skip
@click.option(
    "--mapping", "mappings", multiple=True, type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A mapping file to try before those of ingest.mappings; may be given again.",
)  # fmt: skip
@click.option("--received", type=click.DateTime(), help="UTC time at which it came in.  [default: now]")
@click.argument("payload", required=True, metavar="HEX|FILE|-")
def decode(format_: str, mappings: tuple[Path, ...], received: datetime | None, payload: str) -> int:
    """Show what a payload says, and which decoder read it.

    The payload is hexadecimal, or a file with its bytes or their hexadecimal text; - reads standard input. Nothing is
    stored. Exit code 1: no decoder can read it.
    """
    decoders = _with(decoders_of(load(IngestSettings)), mappings)
    received_s = int(received.replace(tzinfo=UTC).timestamp()) if received else int(time.time())
    octets = _octets(payload)
    try:
        name, report = decoders.decode(_number(format_), octets, received_s)
    except DecodeError as error:
        click.echo(f"nbwater: {len(octets)} bytes cannot be read: {error.reason}: {error}", err=True)
        return 1
    click.echo(f"{name} read {len(octets)} bytes", err=True)
    click.echo(json.dumps(described(report), ensure_ascii=False, indent=2))
    return 0


def described(report: DecodedReport) -> dict[str, Any]:
    """The report with what it says, as JSON: times in UTC, alarms and the valve by name."""
    state: dict[str, Any] = {name: value for name, value in report.state._asdict().items() if value is not None}
    state["alarms"] = names(report.state.alarms)
    if report.state.valve is not None:
        state["valve"] = report.state.valve.name.lower()
    if report.state.device_time_s is not None:
        state["device_time_s"] = _utc(report.state.device_time_s)
    whole = {
        "meter_address": report.meter_address,
        "seq": report.seq,
        "kind": report.kind.name.lower() if report.ts_s else None,
        "readings": [[_utc(ts), index] for ts, index in zip(report.ts_s, report.index_ml, strict=True)],
        "untimed_index_ml": report.untimed_index_ml,
        "state": state,
        "extra": dict(report.extra),
    }
    return {name: value for name, value in whole.items() if value not in (None, {}, [])}


def _utc(unix_s: int) -> str:
    return datetime.fromtimestamp(unix_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _number(name: str) -> int:
    number = FORMATS.get(name.lower(), int(name) if name.isdecimal() and len(name) <= 5 else None)
    if number is None:
        raise click.UsageError(f"no format {name!r}; there are {', '.join(FORMATS)}")
    return number


def _octets(payload: str) -> bytes:
    """The bytes of a hexadecimal text, of a file or of standard input; a file may hold hexadecimal text, too."""
    if payload == "-":
        return _of_file(sys.stdin.buffer.read(MAX_BYTES))
    try:
        return bytes.fromhex(payload)
    except ValueError:
        path = Path(payload)
    if not path.is_file():
        raise click.UsageError("the payload is neither hexadecimal nor a file")
    with path.open("rb") as file:
        return _of_file(file.read(MAX_BYTES))


def _of_file(content: bytes) -> bytes:
    try:
        return bytes.fromhex(content.decode("ascii"))
    except ValueError:
        return content


def _with(decoders: Decoders, paths: tuple[Path, ...]) -> Decoders:
    """Those of the settings, and before them the files named."""
    if not paths:
        return decoders
    found: dict[int, list[Any]] = {}
    for path in paths:
        mapping = load_file(path)
        found.setdefault(int(mapping.content_format), []).append(decoder_of(mapping))
    return decoders.preceded_by(found)
