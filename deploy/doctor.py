"""Is what the platform promises so? Each check tries it on the real thing and says in one line what it found."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import NamedTuple

import nats.errors
from nats.js import JetStreamContext
from nats.js.api import DiscardPolicy
from nats.js.errors import NotFoundError

from deploy import instance, servers
from deploy.accounts import load_or_create, master_key_file
from deploy.embedded.mqtt_listener import MqttListener
from gateway.mqtt.callout import CalloutKeys
from gateway.mqtt.connection import tls_context
from gateway.mqtt.endpoints import parse
from gateway.mqtt.probe import require_no_strangers, require_rights
from gateway.mqtt.topics import PROBE
from ingest.schema import migrate
from metering.credentials import Credential, CredentialKind, load_master_keys
from metering.errors import CredentialError, NbwaterError, StartError, StreamContractError
from metering.mqtt_streams import MQTT_STREAM
from metering.settings import KeysSettings, MqttSettings, NatsSettings, load
from metering.stream_connection import connect
from metering.streams import verify

KEYS_TRIED = 100
"""Newest device keys that the master key must open."""


class Finding(NamedTuple):
    """`failure` empty: it is as it must be, and `detail` says what was seen."""

    what: str
    detail: str
    failure: str = ""


async def findings(data: Path) -> AsyncIterator[Finding]:
    """One for each check, in the order of the data path; never raises what a check finds."""
    checks: list[tuple[str, Callable[[Path], Awaitable[str]]]] = [
        ("stream", _stream), ("database", _database), ("keys", _keys), ("mqtt", _mqtt),
    ]  # fmt: skip
    for what, check in checks:
        try:
            yield Finding(what, await check(data))
        except (NbwaterError, OSError, TimeoutError) as error:
            yield Finding(what, "", str(error) or type(error).__name__)


async def _stream(data: Path) -> str:
    settings, url = load(NatsSettings), instance.nats_url(data)
    found = instance.find(data)
    monitor = settings.monitor_url or (found.nats_monitor_url if found else "")
    try:
        client = await connect(url, "admin", settings.tls_ca, allow_reconnect=False, max_reconnect_attempts=1)
    except nats.errors.Error as error:
        raise StartError(f"NATS at {servers.place(url)} cannot be reached: {error}") from error
    try:
        await verify(client.jetstream(), monitor or None, settings.replicas)
        waiting = await _mqtt_store(client.jetstream(), settings.mqtt_max_bytes)
    finally:
        await client.close()
    synced = "" if monitor else "; sync_interval not checked, nats.monitor_url is empty"
    return f"refuses when full and forgets nothing{synced}{waiting}"


async def _mqtt_store(js: JetStreamContext, wanted: int) -> str:
    """How full what the MQTT listener keeps is. Raises StreamContractError where it has no bound of its own."""
    try:
        info = await js.stream_info(MQTT_STREAM)
    except NotFoundError:
        return "; it has no MQTT listener"
    bound = info.config.max_bytes or 0
    if wanted and (bound <= 0 or info.config.discard != DiscardPolicy.NEW):  # nats-py gives the text
        raise StreamContractError(f"{MQTT_STREAM} could fill the whole store: run `nbwater migrate`")
    share = f"{100 * info.state.bytes / bound:.0f} % of its bound" if bound > 0 else f"{info.state.bytes} bytes"
    return f"; MQTT reports that no gateway has taken yet: {info.state.messages}, {share}"


async def _database(data: Path) -> str:
    connection = await servers.connect_database(instance.database_url(data))
    try:
        await migrate.check(connection)
    finally:
        await connection.close()
    return "has the schema of this release"


async def _keys(data: Path) -> str:
    settings = load(KeysSettings)
    if not (settings.master_file or settings.master.get_secret_value()):
        settings = settings.model_copy(update={"master_file": str(master_key_file(data))})
    keys = load_master_keys(settings)
    connection = await servers.connect_database(instance.database_url(data))
    try:
        rows = await connection.fetch(
            "SELECT kind, key_id, sealed FROM credentials WHERE revoked_at IS NULL "
            "ORDER BY credential_id DESC LIMIT $1",
            KEYS_TRIED,
        )
    finally:
        await connection.close()
    if keys is not None:
        for row in rows:
            keys.open(Credential(CredentialKind(row["kind"]), row["key_id"], row["sealed"]))
    elif rows:
        raise CredentialError("there are device keys and no master key to open them: set keys.master_file")
    return f"the master key opens the newest {len(rows)} device keys"


async def _mqtt(data: Path) -> str:
    settings = load(MqttSettings)
    url, password = settings.url.get_secret_value(), settings.probe_password.get_secret_value()
    secret, ca, check_name = settings.callout_secret.get_secret_value(), settings.tls_ca, settings.tls_check_name
    found = instance.find(data)
    if not url:
        if found is None or not found.mqtt_port:
            return "the door is closed: mqtt.url is empty"
        listener = _own_listener(data, settings, found.mqtt_port)
        url, secret = listener.url, listener.callout_secret
        if listener.certificate:
            ca, check_name = listener.certificate, False
    if settings.broker != "external":
        password = CalloutKeys(secret).probe_password
    places = []
    for endpoint in parse(url):
        context = tls_context(ca, check_name) if endpoint.tls else None
        await require_no_strangers(endpoint, context)
        await require_rights(endpoint, password, context)
        places.append(endpoint.place)
    return f"{', '.join(places)}: strangers are refused, {PROBE} reaches its own two topics and no other's"


def _own_listener(data: Path, settings: MqttSettings, port: int) -> MqttListener:
    """That of the `nbwater up` which runs on `data`."""
    secrets = load_or_create(data).mqtt
    return MqttListener(
        settings.host, port, secrets["password"], secrets["callout_secret"], settings.tls_certificate, settings.tls_key
    )
