"""`nbwater gateway`, `ingest`, `settlement`, `api`: one program in this process, on servers that run already."""

from __future__ import annotations

import importlib

import click

from metering.errors import StartError
from metering.settings import DatabaseSettings, NatsSettings, load

NATS, DATABASE = "NBWATER_NATS_URL", "NBWATER_DATABASE_URL"


@click.command()
def gateway() -> int:
    """Run the CoAP gateway alone."""
    return _run("gateway", NATS)


@click.command()
def ingest() -> int:
    """Run the ingest worker alone."""
    return _run("ingest", NATS, DATABASE)


@click.command()
def settlement() -> int:
    """Run settlement, leak rules, silence and retention alone."""
    return _run("ingest.settlement", DATABASE)


@click.command()
def api() -> int:
    """Run REST and pages alone."""
    return _run("api", NATS, DATABASE)


def _run(module: str, *needed: str) -> int:
    urls = {NATS: load(NatsSettings).url, DATABASE: load(DatabaseSettings).url}
    missing = [name for name in needed if not urls[name].get_secret_value()]
    if missing:
        program = module.rpartition(".")[2]
        raise StartError(f"{program} needs {' and '.join(missing)}; `nbwater up` starts servers of its own")
    code: int = importlib.import_module(f"{module}.__main__").main()
    return code
