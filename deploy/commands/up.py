"""`nbwater up`."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from deploy.commands.options import data_option
from deploy.instance import DEFAULT_DATA
from deploy.up import Options
from deploy.up import up as run

PORT = click.IntRange(0, 65_535)


@click.command()
@data_option(DEFAULT_DATA)
@click.option("--host", help="Address of the pages.  [default: 127.0.0.1]")
@click.option("--coap-port", type=PORT, help="UDP port of CoAP, 0 takes a free one.  [default: 5683]")
@click.option(
    "--coaps-port", type=PORT, help="UDP port of CoAP over DTLS, 0 takes a free one.  [default: the one above CoAP's]"
)
@click.option("--http-port", type=PORT, help="TCP port of the pages, 0 takes a free one.  [default: 8080]")
def up(data: Path, host: str | None, coap_port: int | None, coaps_port: int | None, http_port: int | None) -> int:
    """Run everything: NATS, PostgreSQL, gateway, ingest, api.

    With NBWATER_NATS_URL or NBWATER_DATABASE_URL set, those servers are used instead of embedded ones.
    """
    return asyncio.run(run(Options(data, host, coap_port, coaps_port, http_port), click.echo))
