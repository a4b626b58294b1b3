"""The programs as child processes: which secrets and ports each of them is given, by environment only."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from deploy.embedded.mqtt_listener import MqttListener
from deploy.supervision.child import Spec
from metering.settings import DtlsSettings, KeysSettings, MqttSettings, PushSettings, load

DRAIN_S = {"gateway": 20.0, "ingest": 30.0, "settlement": 30.0, "api": 10.0}
"""How long each may take to end in good order. Also the order in which they are ended."""

NICENESS = 5
"""Of whatever can wait: database, ingest, settlement and api yield to gateway and stream, for which meters wait. One
number for all of them, for they wait for one another too."""

PRODUCTS_FILE = Path("secrets", "push.toml")
"""Of a data directory: the products of the push door."""

SECRET_VARIABLES = (
    "NBWATER_DATABASE_URL", "NBWATER_NATS_URL", "NBWATER_API_SESSION_SECRET", "NBWATER_API_FIRST_PASSWORD",
    "NBWATER_KEYS_MASTER", "NBWATER_KEYS_MASTER_FILE", "NBWATER_MQTT_URL", "NBWATER_MQTT_CALLOUT_SECRET",
    "NBWATER_MQTT_PROBE_PASSWORD",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Ports:
    """0: a free one."""

    coap: int
    coaps: int
    page: int
    gateway_metrics: int
    ingest_metrics: int
    settlement_metrics: int
    mqtt: int = 0
    """Of nats-server's listener."""


def gateway(
    nats_url: str,
    monitor_url: str,
    ports: Ports,
    workers: int,
    workers_directory: Path,
    master_keys: Mapping[str, str],
    push: Mapping[str, str] = MappingProxyType({}),
    mqtt: Mapping[str, str] = MappingProxyType({}),
) -> Spec:
    """The first worker. It is not given the database: it has no business there. `push`: see `push_door`, `mqtt`: see
    `mqtt_settings`. `workers_directory` keeps the DTLS sessions, too, unless the settings name another place."""
    sessions_file = load(DtlsSettings).sessions_file or str(workers_directory / "dtls-sessions")
    return _spec("gateway", dict(push) | dict(mqtt) | dict(master_keys) | {
        "NBWATER_NATS_URL": nats_url,
        "NBWATER_NATS_MONITOR_URL": monitor_url,
        "NBWATER_GATEWAY_PORT": str(ports.coap),
        "NBWATER_GATEWAY_METRICS_PORT": str(ports.gateway_metrics),
        "NBWATER_DTLS_PORT": str(ports.coaps),
        "NBWATER_DTLS_SESSIONS_FILE": sessions_file,
        "NBWATER_GATEWAY_WORKERS": str(workers),
        "NBWATER_GATEWAY_WORKER": "0",
        "NBWATER_GATEWAY_WORKERS_DIRECTORY": str(workers_directory),
    })  # fmt: skip


def given_master_keys() -> dict[str, str]:
    """What the operator's settings say of master keys; empty when nothing."""
    settings = load(KeysSettings)
    given = {
        "NBWATER_KEYS_MASTER": settings.master.get_secret_value(), "NBWATER_KEYS_MASTER_FILE": settings.master_file,
    }  # fmt: skip
    return {name: value for name, value in given.items() if value}


def push_door(data: Path) -> dict[str, str]:
    """Where the push door finds its products and keeps its spool, unless the settings say otherwise. Without products
    it stays closed."""
    settings = load(PushSettings)
    return {
        "NBWATER_PUSH_PRODUCTS_FILE": settings.products_file or str(data / PRODUCTS_FILE),
        "NBWATER_PUSH_DIRECTORY": settings.directory or str(data / "push"),
        "NBWATER_PUSH_PORT": str(settings.port),
    }


def mqtt_settings(listener: MqttListener | None) -> dict[str, str]:
    """Of a gateway: of the listener that `nbwater up` started, else those of the settings."""
    settings = load(MqttSettings)
    url = settings.url.get_secret_value()
    if url or listener is None:
        return {
            "NBWATER_MQTT_URL": url,
            "NBWATER_MQTT_CALLOUT_SECRET": settings.callout_secret.get_secret_value(),
            "NBWATER_MQTT_PROBE_PASSWORD": settings.probe_password.get_secret_value(),
        }
    found = {"NBWATER_MQTT_URL": listener.url, "NBWATER_MQTT_CALLOUT_SECRET": listener.callout_secret}
    if listener.certificate:  # made out to the name that meters know, not to this machine's loopback
        found |= {"NBWATER_MQTT_TLS_CA": listener.certificate, "NBWATER_MQTT_TLS_CHECK_NAME": "false"}
    return found


def ingest(nats_url: str, monitor_url: str, database_url: str, ports: Ports, partition: int) -> Spec:
    """The worker of one partition; `ports` are those of the first."""
    return _spec("ingest" if partition == 0 else f"ingest-{partition}", {
        "NBWATER_NATS_URL": nats_url,
        "NBWATER_NATS_MONITOR_URL": monitor_url,
        "NBWATER_DATABASE_URL": database_url,
        "NBWATER_INGEST_PARTITION": str(partition),
        "NBWATER_INGEST_METRICS_PORT": str(ports.ingest_metrics if partition == 0 else 0),
    }, module="ingest")  # fmt: skip


def settlement(database_url: str, ports: Ports) -> Spec:
    """It is not given the stream: it has no business there."""
    return _spec("settlement", {
        "NBWATER_DATABASE_URL": database_url,
        "NBWATER_SETTLEMENT_METRICS_PORT": str(ports.settlement_metrics),
    }, module="ingest.settlement")  # fmt: skip


def api(
    nats_url: str, database_url: str, session_secret: str, host: str, ports: Ports, master_keys: Mapping[str, str]
) -> Spec:
    """`session_secret` outlives the process, so that a restart logs nobody out."""
    return _spec("api", dict(master_keys) | {
        "NBWATER_NATS_URL": nats_url,
        "NBWATER_DATABASE_URL": database_url,
        "NBWATER_API_HOST": host,
        "NBWATER_API_PORT": str(ports.page),
        "NBWATER_API_SESSION_SECRET": session_secret,
    })  # fmt: skip


def program_of(name: str) -> str:
    """Of a child: `gateway-2` is a gateway."""
    return name.partition("-")[0]


def keep_port(spec: Spec, said: Mapping[str, object]) -> None:
    """Hold on to the ports of the first life: clients know them."""
    variables = {
        "gateway": {
            "port": "NBWATER_GATEWAY_PORT",
            "metrics_port": "NBWATER_GATEWAY_METRICS_PORT",
            "push_port": "NBWATER_PUSH_PORT",
            "dtls_port": "NBWATER_DTLS_PORT",
        },
        "ingest": {"metrics_port": "NBWATER_INGEST_METRICS_PORT"},
        "settlement": {"metrics_port": "NBWATER_SETTLEMENT_METRICS_PORT"},
        "api": {"port": "NBWATER_API_PORT"},
    }
    for key, variable in variables.get(program_of(spec.name), {}).items():
        if said.get(key):
            spec.environment[variable] = str(said[key])


def command(*arguments: str) -> list[str]:
    """`nbwater …` by the running interpreter, wherever it is installed."""
    return [sys.executable, "-m", *arguments]


def _spec(name: str, environment: Mapping[str, str], module: str = "") -> Spec:
    """`module`: what is run, where that is not the package of this name."""
    inherited = {key: value for key, value in os.environ.items() if key not in SECRET_VARIABLES}
    return Spec(
        name=name,
        command=command(module or name),
        environment=inherited | dict(environment),
        stop_timeout_s=DRAIN_S[program_of(name)],
        start_timeout_s=90,
    )
