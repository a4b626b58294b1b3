"""`nbwater gateway`, `ingest`, `settlement`, `api`: one program in this process, on servers that run already."""

from __future__ import annotations

import asyncio
import importlib
import os

import click

from deploy.gateway_workers import supervise
from metering.errors import StartError
from metering.settings import DatabaseSettings, GatewaySettings, NatsSettings, load

NATS, DATABASE = "NBWATER_NATS_URL", "NBWATER_DATABASE_URL"


@click.command()
@click.option("--workers", type=click.IntRange(1, 64), help="Processes on the CoAP port.  [default: gateway.workers]")
def gateway(workers: int | None) -> int:
    """Run the CoAP gateway alone."""
    workers = workers or load(GatewaySettings).workers
    if workers == 1:
        os.environ["NBWATER_GATEWAY_WORKERS"] = "1"
        return _run("gateway", NATS)
    _require("gateway", NATS)
    return asyncio.run(supervise(workers))


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
    _require(module.rpartition(".")[2], *needed)
    code: int = importlib.import_module(f"{module}.__main__").main()
    return code


def _require(program: str, *needed: str) -> None:
    urls = {NATS: load(NatsSettings).url, DATABASE: load(DatabaseSettings).url}
    missing = [name for name in needed if not urls[name].get_secret_value()]
    if missing:
        raise StartError(f"{program} needs {' and '.join(missing)}; `nbwater up` starts servers of its own")
