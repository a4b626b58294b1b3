"""`nbwater demo`: the platform with a simulated town on it."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from deploy import ports, programs
from deploy.supervision.child import Spec, Tell
from deploy.up import Options, up
from metering.settings import ApiSettings, GatewaySettings, load

METERS = 300
DAYS = 14


async def demo(data: Path, meters: int, days: int, tell: Tell) -> int:
    """Until Ctrl-C. Ports that are taken are replaced by the next free ones, and that is said."""
    gateway, api = load(GatewaySettings), load(ApiSettings)
    coap_port = ports.next_free_udp(gateway.host, gateway.port)
    http_port = ports.next_free_tcp(api.host, api.port)
    for what, wanted, got in (("CoAP", gateway.port, coap_port), ("page", api.port, http_port)):
        if got != wanted:
            tell(f"the {what} port {wanted} is taken; using {got or 'a free one'}")

    return await up(
        Options(data, coap_port=coap_port, http_port=http_port, known_password=True, guest=town(data, meters, days)),
        tell,
    )


def town(data: Path, meters: int, days: int) -> Spec:
    """The simulator as one more child: it plays the history in and then lives on in real time."""
    arguments = ("--data", str(data), "town", "--meters", str(meters), "--days", str(days))
    return Spec(
        name="town",
        command=programs.command("deploy", "simulate", *arguments),
        environment=dict(os.environ),
        probe=lambda: True,  # nobody waits for it
        stop_timeout_s=5,
        orphan_signal=signal.SIGKILL,
    )
