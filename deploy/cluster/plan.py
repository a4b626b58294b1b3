"""Which host does what: a TOML file that the operator writes (deploy/cluster/example.toml). Pure."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any

from metering.errors import SettingsError

REPLICAS = 3
"""Copies of each stream. One host may be lost without a report being lost or refused."""

ROLES = ("nats", "gateway", "ingest", "settlement", "api")
NATS_PORT, ROUTE_PORT, MONITOR_PORT = 4222, 6222, 8222
INGEST_METRICS_PORT = 9110
"""Of partition 0; each partition's worker takes the next."""


@dataclass(frozen=True, slots=True)
class Places:
    """Folders and files on every host."""

    configuration: str = "/etc/nbwater"
    store: str = "/var/lib/nbwater/nats"
    gateway: str = "/var/lib/nbwater/gateway"
    """What a gateway keeps: OSCORE's replay windows, DTLS sessions, the spool of pushes."""
    nats_server: str = "/opt/nbwater/bin/nats-server"
    nbwater: str = "/opt/nbwater/bin/nbwater"


@dataclass(frozen=True, slots=True)
class Plan:
    """`hosts` are names and addresses; `roles` the hosts of each of ROLES."""

    hosts: dict[str, str]
    roles: dict[str, list[str]]
    database: str
    """``host:port/name`` of PostgreSQL, without credentials."""
    tls: str = ""
    """Folder on every host with ca.pem, HOST.pem and HOST.key; empty: no TLS."""
    partitions: int = 1
    up_max_bytes: int = 64 << 30
    coap_host: str = "::"
    coap_port: int = 5683
    coaps_port: int = 5684
    mqtt_port: int = 0
    """TCP port of the MQTT listener on every NATS host, with TLS; 0: there is none."""
    firmware: str = ""
    """Folder of firmware images on every gateway, which only read it; empty: they serve none."""
    places: Places = field(default_factory=Places)

    def addresses(self, role: str) -> dict[str, str]:
        return {name: self.hosts[name] for name in self.roles[role]}


def parse(text: str) -> Plan:
    """Raises SettingsError that says what is wrong."""
    try:
        document = tomllib.loads(text)
        places = Places(**document.pop("places", {}))
        plan = Plan(**document, places=places)
    except (tomllib.TOMLDecodeError, TypeError) as error:
        raise SettingsError(f"the plan of the cluster cannot be read: {error}") from error
    if wrong := list(_faults(plan)):
        raise SettingsError("the plan of the cluster: " + "; ".join(wrong))
    return plan


def _faults(plan: Plan) -> list[str]:
    found = [
        f"hosts.{name}: {address!r} is no IP address" for name, address in plan.hosts.items() if not _is_ip(address)
    ]
    found += [f"roles.{role}: unknown, known: {', '.join(ROLES)}" for role in plan.roles if role not in ROLES]
    found += [f"roles.{role}: no host" for role in ROLES if not plan.roles.get(role)]
    found += [
        f"roles.{role}: {name} is not among the hosts"
        for role, names in plan.roles.items()
        for name in names
        if name not in plan.hosts
    ]
    if len(nodes := plan.roles.get("nats", [])) < REPLICAS or len(nodes) % 2 == 0:
        found.append(f"roles.nats: {len(nodes)} hosts; a majority needs 3 or 5")
    if plan.mqtt_port and not plan.tls:
        found.append("mqtt_port: meters' passwords need tls")
    if not 1 <= plan.partitions <= 64:
        found.append("partitions: 1 to 64")
    return found


def _is_ip(address: Any) -> bool:
    try:
        return bool(ip_address(address))
    except ValueError:
        return False
