"""`nbwater config`."""

from __future__ import annotations

import os

import click

from deploy.configuration import render
from metering.settings import unknown_variables


@click.group()
def config() -> None:
    """Settings."""


@config.command("print")
def print_config() -> None:
    """Print every setting with its effective value, as a configuration file."""
    for line in unknown_variables(os.environ):
        click.echo(f"nbwater: {line}", err=True)
    click.echo(render(), nl=False)
