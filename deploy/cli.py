"""The command line program `nbwater`. Each command's code is imported only when it is called.

Exit codes: 0 done, 1 it could not be done (one line on stderr says why and what to do), 2 wrong usage, 130 interrupted.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from metering.errors import ImportRowsError, NbwaterError

COMMANDS: Mapping[str, str] = {
    "up": "deploy.commands.up:up",
    "demo": "deploy.commands.demo:demo",
    "gateway": "deploy.commands.programs:gateway",
    "ingest": "deploy.commands.programs:ingest",
    "settlement": "deploy.commands.programs:settlement",
    "api": "deploy.commands.programs:api",
    "migrate": "deploy.commands.migrate:migrate",
    "simulate": "deploy.commands.simulate:simulate",
    "cluster": "deploy.commands.cluster:cluster",
    "push": "deploy.commands.push:push",
    "districts": "deploy.commands.districts:districts",
    "meters": "deploy.commands.meters:meters",
    "keys": "deploy.commands.keys:keys",
    "billing": "deploy.commands.billing:billing",
    "commands": "deploy.commands.commands:commands",
    "plan": "deploy.commands.plan:plan",
    "campaigns": "deploy.commands.campaigns:campaigns",
    "dead-letters": "deploy.commands.dead_letters:dead_letters",
    "replay": "deploy.commands.replay:replay",
    "leaks": "deploy.commands.leaks:leaks",
    "decode": "deploy.commands.decode:decode",
    "doctor": "deploy.commands.doctor:doctor",
    "trace": "deploy.commands.trace:trace",
    "backup": "deploy.commands.backup:backup",
    "mqtt": "deploy.commands.mqtt:mqtt",
    "config": "deploy.commands.config:config",
    "users": "deploy.commands.users:users",
    "tokens": "deploy.commands.tokens:tokens",
    "version": "deploy.commands.version:version",
}
"""In the order in which a newcomer needs them."""

SHOWN_ROWS = 20


class LazyGroup(click.Group):
    """Knows its commands by name and imports one when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - the base class passes it
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - as above
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name].partition(":")
        command: click.Command = getattr(importlib.import_module(module), name)
        return command


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--config", type=click.Path(dir_okay=False, path_type=Path), help="TOML file; also NBWATER_CONFIG.")
def cli(config: Path | None) -> None:
    """nbwater takes a city's NB-IoT water meters into custody.

    `nbwater up` runs the whole platform; `nbwater demo` runs it with a simulated town.
    """
    if config is not None:
        os.environ["NBWATER_CONFIG"] = str(config.resolve())


def main(arguments: list[str] | None = None) -> int:
    """Runs a command line; the process's exit code."""
    try:
        outcome: Any = cli.main(args=arguments, prog_name="nbwater", standalone_mode=False)
    except click.ClickException as error:
        if isinstance(error, click.UsageError) and error.ctx is not None:
            click.echo(f"{error.ctx.get_usage()}\n`{error.ctx.command_path} --help` says more", err=True)
        click.echo(f"nbwater: {error.format_message()}", err=True)
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return 130
    except ImportRowsError as error:
        _say_rows(error)
        return 1
    except NbwaterError as error:
        click.echo(f"nbwater: {error}", err=True)
        return 1
    except BrokenPipeError:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - the reader went away: nothing may be flushed at exit
        return 1
    except OSError as error:
        if error.filename is None:  # not of a file that was named
            raise
        click.echo(f"nbwater: {error.filename}: {error.strerror}", err=True)
        return 1
    return outcome if isinstance(outcome, int) else 0


def _say_rows(error: ImportRowsError) -> None:
    for line, column, message in error.rows[:SHOWN_ROWS]:
        where = ", ".join(filter(None, (f"line {line}" if line else "", column)))
        click.echo(f"{where}{': ' if where else ''}{message}", err=True)
    if len(error.rows) > SHOWN_ROWS:
        click.echo(f"… and {len(error.rows) - SHOWN_ROWS} more", err=True)
    click.echo(f"nbwater: {error}", err=True)
