"""What the simulators play against: a CoAP port, a way to register meters, and a database to reconcile with."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

Register = Callable[[Sequence[dict[str, str]]], Awaitable[int]]
"""Takes rows that use the names of the import file's header; returns how many meters there are now or were changed."""


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
