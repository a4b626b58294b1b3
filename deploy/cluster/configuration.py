"""The files of each host, from the plan and the secrets. Pure: paths and contents, nothing is written here.

==================  ==========================================================================================
HOST/nats.conf      a node of the NATS cluster; users and rights are those of the embedded server
HOST/PROGRAM.env    settings of one program (ingest-0.env, ingest-1.env, … for the worker of each partition)
HOST/master.keys    what seals device keys, where a gateway or the api runs
HOST/*.service      systemd units
admin.env           for `nbwater migrate`: who may make streams and tables
logins.sql          one database login for each program, to run after the first `nbwater migrate`
==================  ==========================================================================================
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from deploy.accounts import LOGINS, login_name, scram_verifier
from deploy.cluster.plan import (
    INGEST_METRICS_PORT,
    MONITOR_PORT,
    NATS_PORT,
    REPLICAS,
    ROUTE_PORT,
    Plan,
)
from deploy.cluster.units import nats_unit, program_unit
from deploy.embedded.mqtt_listener import MqttListener
from deploy.embedded.nats import ADMIN, stream_rules

CLUSTER_NAME = "nbwater"
MASTER_KEYS = "master.keys"
STORE_HEADROOM_BYTES = 4 << 30
"""Beside the report stream the store holds the registry's feed, its snapshots, and Raft's logs."""


@dataclass(frozen=True, slots=True)
class Secrets:
    """Passwords of the NATS users, of the routes between nodes, of the database logins; what signs sessions."""

    nats: Mapping[str, str]
    routes: str
    database: Mapping[str, str]
    database_owner: str
    sessions: str
    mqtt: Mapping[str, str]
    """As `deploy.accounts.Accounts.mqtt`."""
    master_keys: Mapping[str, str]
    """By number, as `keys.master_file` has them; the highest seals."""


def files(plan: Plan, secrets: Secrets) -> Iterator[tuple[str, str]]:
    """Relative path and content of each file."""
    for host, address in plan.addresses("nats").items():
        yield f"{host}/nats.conf", nats_conf(plan, secrets, host, address)
        yield f"{host}/nbwater-nats.service", nats_unit(plan.places)
    for role in ("gateway", "settlement", "api"):
        for host in plan.roles[role]:
            yield f"{host}/{role}.env", _environment(program_settings(plan, secrets, role))
            yield f"{host}/nbwater-{role}.service", program_unit(plan.places, role)
    for host in plan.roles["ingest"]:
        for partition in range(plan.partitions):
            yield f"{host}/ingest-{partition}.env", _environment(ingest_settings(plan, secrets, partition))
        yield f"{host}/nbwater-ingest@.service", program_unit(plan.places, "ingest", "ingest-%i.env")
    for host in {*plan.roles["gateway"], *plan.roles["api"]}:
        yield f"{host}/{MASTER_KEYS}", "".join(f"{number} {key}\n" for number, key in secrets.master_keys.items())
    yield "admin.env", _environment(admin_settings(plan, secrets))
    yield "logins.sql", _logins(plan, secrets)


def nats_conf(plan: Plan, secrets: Secrets, host: str, address: str) -> str:
    """A node. Silent peers are noticed in seconds: nats-server's own two minutes are made for wide networks."""
    others = [other for name, other in plan.addresses("nats").items() if name != host]
    routes = json.dumps([f"nats://routes:{secrets.routes}@{_place(other, ROUTE_PORT)}" for other in others])
    client_tls, route_tls = _tls_blocks(plan, host)
    store, mqtt = f"{plan.places.store}/{host}", mqtt_listener(plan, secrets, host, address)
    rules = stream_rules(store, plan.up_max_bytes + STORE_HEADROOM_BYTES, secrets.nats, mqtt)
    return f"""\
listen: "{_place(address, NATS_PORT)}"
http: "{_place(address, MONITOR_PORT)}"
server_name: {json.dumps(host)}
ping_interval: "5s"
ping_max: 2
{client_tls}cluster {{
  name: {CLUSTER_NAME}
  listen: "{_place(address, ROUTE_PORT)}"
  no_advertise: true
  ping_interval: "2s"
  ping_max: 2
  connect_backoff: false
  authorization {{ user: routes, password: {json.dumps(secrets.routes)}, timeout: 5 }}
  routes: {routes}
{route_tls}}}
{rules}"""


def mqtt_listener(plan: Plan, secrets: Secrets, host: str, address: str) -> MqttListener | None:
    """Of one node, with the node's certificate and a copy of its sessions on every node."""
    if not (plan.mqtt_port and plan.tls):
        return None
    own = f"{plan.tls}/{host}"
    return MqttListener(
        address, plan.mqtt_port, secrets.mqtt["password"], secrets.mqtt["callout_secret"],
        f"{own}.pem", f"{own}.key", replicas=REPLICAS,
    )  # fmt: skip


def _mqtt_settings(plan: Plan, secrets: Secrets) -> dict[str, str]:
    """Of a gateway: every node's listener, one of which it uses."""
    listeners = [mqtt_listener(plan, secrets, host, address) for host, address in plan.addresses("nats").items()]
    if not (urls := [listener.url for listener in listeners if listener]):
        return {}
    return {
        "NBWATER_MQTT_URL": ",".join(urls),
        "NBWATER_MQTT_CALLOUT_SECRET": secrets.mqtt["callout_secret"],
        "NBWATER_MQTT_TLS_CA": f"{plan.tls}/ca.pem",
    }


def _gateway_settings(plan: Plan) -> dict[str, str]:
    """Where the doors of its CoAP and DTLS ports listen, and where what they know outlives them."""
    own = plan.places.gateway
    return {
        "NBWATER_GATEWAY_HOST": plan.coap_host,
        "NBWATER_GATEWAY_PORT": str(plan.coap_port),
        "NBWATER_DTLS_HOST": plan.coap_host,
        "NBWATER_DTLS_PORT": str(plan.coaps_port),
        "NBWATER_DTLS_SESSIONS_FILE": f"{own}/dtls-sessions",
        "NBWATER_OSCORE_DIRECTORY": own,
        "NBWATER_PUSH_DIRECTORY": f"{own}/push",
    }


def _tls_blocks(plan: Plan, host: str) -> tuple[str, str]:
    """For clients, which show no certificate but begin with TLS; for routes, where both sides show one."""
    if not plan.tls:
        return "", ""
    own = f'cert_file: "{plan.tls}/{host}.pem", key_file: "{plan.tls}/{host}.key"'
    return (
        f"tls {{ {own}, handshake_first: true, timeout: 5 }}\n",
        f'  tls {{ {own}, ca_file: "{plan.tls}/ca.pem", timeout: 5 }}\n',
    )


def _stream_settings(plan: Plan, secrets: Secrets, user: str) -> dict[str, str]:
    scheme = "tls" if plan.tls else "nats"
    nodes = plan.addresses("nats").values()
    settings = {
        "NBWATER_NATS_URL": ",".join(f"{scheme}://{user}:{secrets.nats[user]}@{_place(a, NATS_PORT)}" for a in nodes),
        "NBWATER_NATS_MONITOR_URL": ",".join(f"http://{_place(a, MONITOR_PORT)}" for a in nodes),
        "NBWATER_NATS_REPLICAS": str(REPLICAS),
        "NBWATER_NATS_PARTITIONS": str(plan.partitions),
        "NBWATER_NATS_UP_MAX_BYTES": str(plan.up_max_bytes),
        **({} if plan.mqtt_port and plan.tls else {"NBWATER_NATS_MQTT_MAX_BYTES": "0"}),
    }
    return settings | ({"NBWATER_NATS_TLS_CA": f"{plan.tls}/ca.pem"} if plan.tls else {})


def _database_url(plan: Plan, user: str, password: str) -> str:
    return f"postgresql://{user}:{password}@{plan.database}"


def program_settings(plan: Plan, secrets: Secrets, program: str) -> dict[str, str]:
    """Of gateway, settlement or api: each has the servers that it has business with, and its own credentials."""
    settings = {} if program == "settlement" else _stream_settings(plan, secrets, program)
    if program in secrets.database:
        settings["NBWATER_DATABASE_URL"] = _database_url(plan, login_name(program), secrets.database[program])
    if program == "gateway":
        settings |= _gateway_settings(plan) | _mqtt_settings(plan, secrets)
        settings |= {"NBWATER_FIRMWARE_DIRECTORY": plan.firmware} if plan.firmware else {}
    if program in ("gateway", "api"):
        settings["NBWATER_KEYS_MASTER_FILE"] = f"{plan.places.configuration}/{MASTER_KEYS}"
    if program == "api":
        settings["NBWATER_API_SESSION_SECRET"] = secrets.sessions
    return settings


def ingest_settings(plan: Plan, secrets: Secrets, partition: int) -> dict[str, str]:
    return program_settings(plan, secrets, "ingest") | {
        "NBWATER_INGEST_PARTITION": str(partition),
        "NBWATER_INGEST_METRICS_PORT": str(INGEST_METRICS_PORT + partition),
    }


def admin_settings(plan: Plan, secrets: Secrets) -> dict[str, str]:
    return _stream_settings(plan, secrets, ADMIN) | {
        "NBWATER_DATABASE_URL": _database_url(plan, "nbwater_owner", secrets.database_owner)
    }


def _logins(plan: Plan, secrets: Secrets) -> str:
    """The server sees verifiers only; the roles that they join are made by `nbwater migrate`."""
    database = plan.database.rpartition("/")[2]
    lines = [
        line
        for program, group in LOGINS.items()
        if program in secrets.database
        for line in (
            f"CREATE ROLE {login_name(program)} LOGIN PASSWORD '{scram_verifier(secrets.database[program])}';",
            f"GRANT {group} TO {login_name(program)};",
            f"GRANT CONNECT ON DATABASE {database} TO {group};",
        )
    ]
    return "\n".join(lines) + "\n"


def _environment(settings: Mapping[str, str]) -> str:
    """An environment file of systemd."""
    return "".join(f"{name}={value}\n" for name, value in settings.items())


def _place(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
