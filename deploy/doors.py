"""Where the doors of a running platform are, for simulated meters."""

from __future__ import annotations

from pathlib import Path

from deploy.instance import Instance
from deploy.programs import PRODUCTS_FILE
from deploy.push_products import add
from gateway.push.products import Platform, Product, load_products
from metering.settings import MqttSettings, PushSettings, load
from simulators.target import Places

SIMULATED = "simulated-town"
"""Product of the push door by which simulated meters are pushed."""


def places(host: str, running: Instance, data: Path) -> Places:
    """The doors that a simulator can use: not those with a certificate, which it has no reason to trust."""
    push_port = running.programs.get("gateway", {}).get("push_port", 0)
    product = None if load(PushSettings).tls_certificate else _product(data)
    push_url = f"http://{host}:{push_port}/push/{product.secret_path.get_secret_value()}" if product else ""
    mqtt_port = 0 if load(MqttSettings).tls_certificate else running.mqtt_port
    push_url = push_url if push_port else ""
    return Places(host, running.coap_port, running.coaps_port, mqtt_port, push_url, SIMULATED if push_url else "")


def open_push(data: Path) -> None:
    """Let the simulated town push, from the next start of the gateway on; harmless twice. An operator's own file of
    products is left alone."""
    if not load(PushSettings).products_file and _product(data) is None:
        add(data / PRODUCTS_FILE, SIMULATED, Platform.CTWING)


def _product(data: Path) -> Product | None:
    return next(
        (
            one
            for one in load_products(load(PushSettings).products_file or data / PRODUCTS_FILE)
            if one.name == SIMULATED
        ),
        None,
    )
