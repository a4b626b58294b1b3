"""`nbwater simulate …`: the simulators' own commands, told what to play against."""

from __future__ import annotations

import copy
import functools
import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from deploy import doors, instance
from deploy.chaos.platform import OwnPlatform
from deploy.commands.options import data_option
from deploy.enrolment import enrol_rows, master_keys
from deploy.registration import register_flows, register_rows, register_zones
from metering.errors import StartError
from metering.settings import GatewaySettings, load
from simulators.target import Target

COMMANDS = "simulators.cli"
CHAOS = "chaos"
FILES_IN = "directory"
"""Parameter of a command that then writes files there and plays against nothing."""


class Simulators(click.Group):
    """Takes its subcommands from the simulators."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return _group().list_commands(ctx)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        command = _group().get_command(ctx, cmd_name)
        if command is None:
            return None
        return _on_its_own(command) if cmd_name == CHAOS else _aimed(command)


@click.command(cls=Simulators)
@click.option("--coap-host", default="127.0.0.1", show_default=True, help="Where the gateway is.")
@click.option("--coap-port", type=click.IntRange(1, 65_535), help="Its UDP port.  [default: that of --data, else 5683]")
@data_option()
def simulate(coap_host: str, coap_port: int | None, data: Path) -> None:
    """Play meters, a town, recorded readings or load. These options may also stand after the kind."""


def _on_its_own(command: click.Command) -> click.Command:
    """The command that plays against no platform of others, but starts and harms one of its own."""
    play = command.callback
    assert play is not None  # noqa: S101 - as below

    def run(**values: object) -> Any:
        click.get_current_context().obj = OwnPlatform
        return play(**values)

    alone = copy.copy(command)
    alone.callback = run
    return alone


def _aimed(command: click.Command) -> click.Command:
    """The command with the group's options as its own, its target found only when it runs: help needs no platform."""
    play = command.callback
    assert play is not None  # noqa: S101 - a command without one would be a group

    def run(coap_host: str | None, coap_port: int | None, data: Path | None, **values: object) -> Any:
        context = click.get_current_context()
        group = context.parent.params if context.parent else {}
        if values.get(FILES_IN) is None:
            context.obj = _target(
                coap_host or group["coap_host"], coap_port or group["coap_port"], data or Path(group["data"])
            )
        return play(**values)

    aimed = copy.copy(command)
    aimed.callback = run
    aimed.params = [
        *command.params,
        click.Option(["--coap-host"], hidden=True),
        click.Option(["--coap-port"], type=click.IntRange(1, 65_535), hidden=True),
        click.Option(
            ["--data"],
            type=click.Path(file_okay=False, path_type=Path),
            help="Data directory of the platform, as before the kind.",
        ),
    ]
    return aimed


def _target(coap_host: str, coap_port: int | None, data: Path) -> Target:
    """Raises StartError when there is neither a platform on `data` nor one named otherwise."""
    running = instance.find(data)
    try:
        database_url = instance.database_url(data)
    except StartError:
        if coap_port is None:
            raise
        database_url = ""  # a gateway elsewhere: its meters are registered already, nothing is reconciled
    return Target(
        coap_host=coap_host,
        coap_port=coap_port or (running.coap_port if running else load(GatewaySettings).port),
        database_url=database_url,
        register=functools.partial(register_rows, database_url),
        enrol=functools.partial(_enrol, database_url, data) if database_url else None,
        zones=functools.partial(register_zones, database_url) if database_url else None,
        flows=functools.partial(register_flows, database_url) if database_url else None,
        places=doors.places(coap_host, running, data) if running and coap_port in (None, running.coap_port) else None,
    )


async def _enrol(database_url: str, data: Path, rows: Sequence[dict[str, str]]) -> int:
    return await enrol_rows(database_url, master_keys(data), rows)


def _group() -> click.Group:
    group: click.Group = importlib.import_module(COMMANDS).simulate
    return group
