"""What runs where, as lines for a terminal."""

from __future__ import annotations

from pathlib import Path

from deploy.instance import Instance
from deploy.servers import place
from gateway.mqtt.topics import up
from metering.settings import MqttSettings, load

EMBEDDED = ("nats", "postgres")


def status_table(running: Instance, data: Path, demo_password: str | None) -> list[str]:
    """No secret but a demo's password."""
    rows = [
        ("pages and REST", running.api_url, _process(running, "api")),
        ("CoAP", f"coap://<this machine>:{running.coap_port}/r/<IMEI or serial>", _process(running, "gateway")),
        *_push(running),
        *_coaps(running),
        *_mqtt(running),
        ("ingest", _metrics(running, "ingest"), _process(running, "ingest")),
        ("settlement", _metrics(running, "settlement"), _process(running, "settlement")),
        ("stream (NATS)", place(running.nats_url), _process(running, "nats")),
        ("database", place(running.database_url), _process(running, "postgres")),
        ("data and logs", str(data), ""),
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(2)]
    lines = ["", *(f"  {what:<{widths[0]}}  {where:<{widths[1]}}  {who}".rstrip() for what, where, who in rows), ""]
    if demo_password is not None:
        lines += [f"  Open {running.api_url} and log in as  admin  with  {demo_password}", ""]
    return [*lines, "  Ctrl-C stops everything in good order.", ""]


def _push(running: Instance) -> list[tuple[str, str, str]]:
    """A line for the push door when it is open."""
    port = running.programs.get("gateway", {}).get("push_port")
    return [("push", f"port {port}, /push/<secret path of a product>", _process(running, "gateway"))] if port else []


def _coaps(running: Instance) -> list[tuple[str, str, str]]:
    if not running.coaps_port:
        return []
    place = f"coaps://<this machine>:{running.coaps_port}/r/<IMEI or serial>"
    return [("CoAP over DTLS", place, _process(running, "gateway"))]


def _mqtt(running: Instance) -> list[tuple[str, str, str]]:
    if not running.mqtt_port:
        return []
    scheme = "mqtts" if load(MqttSettings).tls_certificate else "mqtt"
    host = load(MqttSettings).host
    return [("MQTT", f"{scheme}://{host}:{running.mqtt_port}  {up('<device>')}", _process(running, "nats"))]


def _process(running: Instance, name: str) -> str:
    pid = running.programs.get(name, {}).get("pid")
    if pid is None:
        return "elsewhere" if name in EMBEDDED else ""
    return f"process {pid}"


def _metrics(running: Instance, name: str) -> str:
    port = running.programs.get(name, {}).get("metrics_port")
    return f"http://127.0.0.1:{port}/metrics" if port else ""
