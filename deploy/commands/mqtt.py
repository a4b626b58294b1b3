"""`nbwater mqtt`."""

from __future__ import annotations

import click

from deploy.mqtt.acl import GATEWAY_USER, LISTS


@click.group()
def mqtt() -> None:
    """An MQTT broker in front of the gateways."""


@mqtt.command()
@click.option("--broker", type=click.Choice(list(LISTS)), default="mosquitto", show_default=True)
@click.option("--gateway-user", default=GATEWAY_USER, show_default=True, help="Login of the gateways.")
def acl(broker: str, gateway_user: str) -> None:
    """Print the access list that ties each meter to its own two topics."""
    click.echo(LISTS[broker](gateway_user), nl=False)
