"""What the simulators play against: a CoAP port, a way to register meters, and a database to reconcile with."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

Register = Callable[[Sequence[dict[str, str]]], Awaitable[int]]
"""Takes rows that use the names of the import file's header; returns how many meters there are now or were changed."""


Take = Callable[[bytes], Awaitable[int]]
"""Takes a file as an operator would import it; returns how many rows it had."""

PUSH_DOOR = "push"
DOORS = ("coap", "oscore", "dtls", "lwm2m", "mqtt", PUSH_DOOR)


@dataclass(frozen=True, slots=True)
class Places:
    """Where the doors are; 0 or empty: closed. `push_url` has the secret path of the product `pusher`."""

    host: str
    coap_port: int
    coaps_port: int = 0
    mqtt_port: int = 0
    push_url: str = ""
    pusher: str = ""

    def open(self) -> tuple[str, ...]:
        """Names of the doors that can be used."""
        closed = {"dtls": not self.coaps_port, "mqtt": not self.mqtt_port, "push": not self.push_url}
        return tuple(door for door in DOORS if not closed.get(door))

    def binding(self, door: str) -> dict[str, str]:
        """What the import row of a meter at this door says beside: whose pushes are to be believed."""
        return {"pushers": self.pusher} if door == PUSH_DOOR and self.pusher else {}


@dataclass(frozen=True, slots=True)
class Target:
    coap_host: str
    coap_port: int
    database_url: str
    """PostgreSQL; empty when there is none to reconcile with."""
    register: Register
    enrol: Register | None = None
    """Takes rows of a key file for meters that are registered, those that have the key already included; None: this
    target takes no keys."""
    zones: Take | None = None
    """Takes GeoJSON of zones."""
    flows: Take | None = None
    """Takes a CSV file of bulk meters and the zones that they count for."""
    places: Places | None = None
    """Where its doors are; None: nothing but CoAP is known of it."""
