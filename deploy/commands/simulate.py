"""`nbwater simulate …`: the simulators' own commands, told what to play against."""

from __future__ import annotations

import functools
import importlib
from pathlib import Path

import click

from deploy import instance
from deploy.commands.options import data_option
from deploy.registration import register_rows
from metering.errors import StartError
from metering.settings import GatewaySettings, load
from simulators.target import Target

COMMANDS = "simulators.cli"


class Simulators(click.Group):
    """Takes its subcommands from the simulators."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return _group().list_commands(ctx)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return _group().get_command(ctx, cmd_name)


@click.command(cls=Simulators)
@click.option("--coap-host", default="127.0.0.1", show_default=True, help="Where the gateway is.")
@click.option("--coap-port", type=click.IntRange(1, 65_535), help="Its UDP port.  [default: that of --data, else 5683]")
@data_option()
@click.pass_context
def simulate(ctx: click.Context, coap_host: str, coap_port: int | None, data: Path) -> None:
    """Play meters, a town, recorded readings or load."""
    running = instance.find(data)
    try:
        database_url = instance.database_url(data)
    except StartError:
        if coap_port is None:
            raise
        database_url = ""  # a gateway elsewhere: its meters are registered already, nothing is reconciled
    ctx.obj = Target(
        coap_host=coap_host,
        coap_port=coap_port or (running.coap_port if running else load(GatewaySettings).port),
        database_url=database_url,
        register=functools.partial(register_rows, database_url),
    )


def _group() -> click.Group:
    group: click.Group = importlib.import_module(COMMANDS).simulate
    return group
