"""`nbwater config`."""

from __future__ import annotations

import click

from deploy.configuration import render


@click.group()
def config() -> None:
    """Settings."""


@config.command("print")
def print_config() -> None:
    """Print every setting with its effective value, as a configuration file."""
    click.echo(render(), nl=False)
