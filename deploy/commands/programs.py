"""`nbwater gateway`, `nbwater ingest`, `nbwater api`: one program in this process, on servers that run already."""

from __future__ import annotations

import importlib

import click

from metering.errors import StartError
from metering.settings import DatabaseSettings, NatsSettings, load


@click.command()
def gateway() -> int:
    """Run the CoAP gateway alone."""
    return _run("gateway", needs_database=False)


@click.command()
def ingest() -> int:
    """Run the ingest worker alone."""
    return _run("ingest", needs_database=True)


@click.command()
def api() -> int:
    """Run REST and pages alone."""
    return _run("api", needs_database=True)


def _run(program: str, needs_database: bool) -> int:
    needed = {"NBWATER_NATS_URL": load(NatsSettings).url}
    if needs_database:
        needed["NBWATER_DATABASE_URL"] = load(DatabaseSettings).url
    missing = [name for name, url in needed.items() if not url.get_secret_value()]
    if missing:
        raise StartError(f"{program} needs {' and '.join(missing)}; `nbwater up` starts servers of its own")
    code: int = importlib.import_module(f"{program}.__main__").main()
    return code
