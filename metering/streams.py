"""The stream contract (DESIGN section 3.3): what exists in NATS, how it must be configured, and the check of both.

==================  =========================  ====================================================
name                subjects                   holds
==================  =========================  ====================================================
stream UP           up.{partition}             batches of raw reports, until ingest has committed them
stream REGISTRY     registry.change            changes of the device registry, in order
bucket registry     (object store)             the newest registry snapshots
stream OSCORE       oscore.lease               nothing: its sequence numbers are leases of Partial IVs, none given twice
stream COMMANDS     commands.waiting.{device}  what waits for each device, the newest message of each
stream TOLD         command.told               what gateways saw of commands, until ingest has committed it
bucket lwm2m        $KV.lwm2m.{key}            registrations of LwM2M clients, until they expire
streams $MQTT_…     $MQTT.>                    what nats-server's MQTT listener keeps, see metering.mqtt_streams
==================  =========================  ====================================================
"""

from __future__ import annotations

import asyncio
import json
import time
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from nats.js import JetStreamContext
from nats.js.api import (
    AckPolicy,
    ConsumerConfig,
    DiscardPolicy,
    ObjectStoreConfig,
    PersistMode,
    RetentionPolicy,
    StorageType,
    StreamConfig,
)
from nats.js.errors import NotFoundError

from metering.commands import MAX_TTL_S
from metering.errors import StreamContractError
from metering.mqtt_streams import mqtt_configs

UP_STREAM = "UP"
UP_SUBJECT = "up"
REGISTRY_STREAM = "REGISTRY"
REGISTRY_SUBJECT = "registry.change"
SNAPSHOT_BUCKET = "registry"
OBJECTS_STREAM = f"OBJ_{SNAPSHOT_BUCKET}"
"""The stream that the object store keeps its bucket in."""
OSCORE_STREAM = "OSCORE"
OSCORE_SUBJECT = "oscore.lease"
OSCORE_MAX_BYTES = 1 << 20
OSCORE_EPOCH_S = 1_767_225_600
"""2026-01-01 UTC. A stream OSCORE that is made anew begins at its second, far ahead of one that was lost: gateways need
less than a lease a second."""
COMMANDS_STREAM = "COMMANDS"
COMMANDS_SUBJECT = "commands.waiting"
COMMANDS_KEEP_S = MAX_TTL_S + 86_400
"""No command waits longer."""
TOLD_STREAM = "TOLD"
TOLD_SUBJECT = "command.told"
TOLD_DURABLE = "ingest"
LWM2M_BUCKET = "lwm2m"
LWM2M_STREAM = f"KV_{LWM2M_BUCKET}"
LWM2M_SUBJECT = f"$KV.{LWM2M_BUCKET}"
DUPLICATE_WINDOW_S = 120
MONITOR_TIMEOUT_S = 5


STREAMS = (
    UP_STREAM, REGISTRY_STREAM, OBJECTS_STREAM, OSCORE_STREAM, COMMANDS_STREAM, TOLD_STREAM, LWM2M_STREAM,
)  # fmt: skip

COUNTERS = tuple(f"api-{n}" for n in range(4))
"""Names of the consumers by which api processes count what is in flight; one is chosen by chance for each count. They
are made with the stream and show headers only: whoever may make a consumer may have it deliver whole messages to any
subject."""


TRIMMER_PROBE = "trimmer"
"""Name of the consumer by which ingest finds how far back the stream's young messages go."""


@dataclass(frozen=True, slots=True)
class StreamSizes:
    """Bounds in bytes; a stream at its bound refuses (`discard: new`)."""

    up_max_bytes: int
    registry_max_bytes: int = 256 * 1024 * 1024
    commands_max_bytes: int = 256 * 1024 * 1024
    told_max_bytes: int = 64 * 1024 * 1024
    replicas: int = 1
    lwm2m_max_bytes: int = 1 << 30
    """About 340 bytes a registered client were measured."""
    mqtt_max_bytes: int = 0
    """Of metering.mqtt_streams.MQTT_STREAM; 0: the server has no listener for meters."""

    @property
    def total_bytes(self) -> int:
        """What nats-server sets aside for all of them."""
        feeds = 2 * self.registry_max_bytes + self.commands_max_bytes + self.told_max_bytes + OSCORE_MAX_BYTES
        mqtt = sum(int(config.max_bytes or 0) for config in mqtt_configs(self.mqtt_max_bytes, self.replicas))
        return self.up_max_bytes + feeds + self.lwm2m_max_bytes + mqtt


def up_subject(partition: int) -> str:
    return f"{UP_SUBJECT}.{partition}"


def partition_of(subject: str) -> int:
    """Of a subject of `up_subject`."""
    return int(subject.rpartition(".")[2])


def up_durable(partition: int) -> str:
    """Name of the durable consumer of a partition."""
    return f"ingest-{partition}"


def waiting_subject(device: str) -> str:
    """Where the stream keeps what waits for this device: names may hold what subjects may not."""
    return f"{COMMANDS_SUBJECT}.{device.encode().hex()}"


def _config_of(name: str, subject: str, max_bytes: int, replicas: int, **more: Any) -> StreamConfig:
    """Of a stream in files with a bound in bytes, which refuses at it unless `more` says otherwise."""
    settings: dict[str, Any] = {"retention": RetentionPolicy.LIMITS, "discard": DiscardPolicy.NEW, "max_age": 0} | more
    return StreamConfig(
        name=name,
        subjects=[subject],
        storage=StorageType.FILE,
        max_bytes=max_bytes,
        num_replicas=replicas,
        **settings,
    )


def _up_config(sizes: StreamSizes) -> StreamConfig:
    more: dict[str, Any] = {"duplicate_window": DUPLICATE_WINDOW_S, "deny_delete": True}
    return _config_of(UP_STREAM, f"{UP_SUBJECT}.*", sizes.up_max_bytes, sizes.replicas, **more)


def _registry_config(sizes: StreamSizes) -> StreamConfig:
    """The feed may forget (`discard: old`): a gateway that sees a gap loads the snapshot again."""
    more: dict[str, Any] = {"discard": DiscardPolicy.OLD, "allow_direct": True}
    return _config_of(REGISTRY_STREAM, REGISTRY_SUBJECT, sizes.registry_max_bytes, sizes.replicas, **more)


def _oscore_config(sizes: StreamSizes) -> StreamConfig:
    """It may forget its messages, never its sequence."""
    return _config_of(
        OSCORE_STREAM,
        OSCORE_SUBJECT,
        OSCORE_MAX_BYTES,
        sizes.replicas,
        discard=DiscardPolicy.OLD,
        max_msgs=1,
        deny_delete=True,
        deny_purge=True,
        first_seq=max(1, int(time.time()) - OSCORE_EPOCH_S),
    )


def _commands_config(sizes: StreamSizes) -> StreamConfig:
    """A store of one value a device: of each subject the newest message stays, and a full stream refuses."""
    return _config_of(
        COMMANDS_STREAM,
        f"{COMMANDS_SUBJECT}.*",
        sizes.commands_max_bytes,
        sizes.replicas,
        max_msgs_per_subject=1,
        max_age=COMMANDS_KEEP_S,
        allow_direct=True,
        allow_msg_ttl=True,
    )


def _told_config(sizes: StreamSizes) -> StreamConfig:
    """Messages go when ingest acknowledges them, which it does after COMMIT."""
    more: dict[str, Any] = {"retention": RetentionPolicy.WORK_QUEUE, "duplicate_window": DUPLICATE_WINDOW_S}
    return _config_of(TOLD_STREAM, TOLD_SUBJECT, sizes.told_max_bytes, sizes.replicas, **more)


def _lwm2m_config(sizes: StreamSizes) -> StreamConfig:
    """A key-value bucket as nats.py knows it, whose keys end by themselves (`allow_msg_ttl`).

    No direct reads: their answer is the message itself, headers and all, sent to whatever subject the request names.
    Gateways write here what they like, so they could bring it into any stream (docs/decisions/0007, 0017). The answer
    of STREAM.MSG.GET is JSON of JetStream's own.
    """
    return _config_of(
        LWM2M_STREAM,
        f"{LWM2M_SUBJECT}.>",
        sizes.lwm2m_max_bytes,
        sizes.replicas,
        max_msgs_per_subject=1,
        allow_direct=False,
        allow_msg_ttl=True,
        deny_delete=True,
    )


async def ensure(js: JetStreamContext, sizes: StreamSizes) -> None:
    """Create what is missing; bring the bound, what happens at it, and the replicas of what exists to what is asked
    for. Needs the rights of the administrator."""
    wanted = (
        _up_config(sizes), _registry_config(sizes), _oscore_config(sizes), _commands_config(sizes), _told_config(sizes),
        _lwm2m_config(sizes),
    )  # fmt: skip
    for config in wanted:
        await _ensure_stream(js, config, allow_direct=bool(config.allow_direct))
    for config in mqtt_configs(sizes.mqtt_max_bytes, sizes.replicas):
        # `discard` first: at a bound, the old of nats-server's default would drop what meters have their PUBACK for.
        await _ensure_stream(js, config, discard=config.discard)
    for counter in COUNTERS:
        await _ensure_counter(js, counter)
    try:
        existing = (await js.stream_info(OBJECTS_STREAM)).config
    except NotFoundError:
        await js.create_object_store(
            SNAPSHOT_BUCKET,
            ObjectStoreConfig(storage=StorageType.FILE, replicas=sizes.replicas, max_bytes=sizes.registry_max_bytes),
        )
    else:
        await _adapt(js, existing, sizes.replicas)


async def _ensure_stream(js: JetStreamContext, config: StreamConfig, **more: Any) -> None:
    """`more`: what else an existing one is brought to, before its bound."""
    try:
        existing = (await js.stream_info(str(config.name))).config
    except NotFoundError:
        await js.add_stream(config)
    else:
        await _adapt(js, existing, int(config.num_replicas or 1), **more, max_bytes=config.max_bytes)


async def _ensure_counter(js: JetStreamContext, name: str) -> None:
    try:
        await js.consumer_info(UP_STREAM, name)
    except NotFoundError:
        await js.add_consumer(
            UP_STREAM, ConsumerConfig(durable_name=name, ack_policy=AckPolicy.NONE, headers_only=True)
        )


async def _adapt(js: JetStreamContext, existing: StreamConfig, replicas: int, **wanted: Any) -> None:
    """One step at a time: nats-server takes no change of the replicas together with another."""
    wanted["num_replicas"] = replicas
    for name, value in wanted.items():
        if getattr(existing, name) != value:
            existing = existing.evolve(**{name: value})
            await js.update_stream(existing)


async def verify(js: JetStreamContext, monitor_url: str | None, replicas: int = 1) -> None:
    """Refuse to serve on a stream that could forget. Raises StreamContractError naming every deviation.

    `monitor_url` is nats-server's monitoring address, several with commas, where alone a client can see
    `sync_interval`; None leaves that one check to the operator, as where the servers' monitoring is not reachable.
    """
    deviations = _deviations(await _config(js, UP_STREAM))
    for stream in STREAMS:
        if (is_ := (await _config(js, stream)).num_replicas or 1) != replicas:
            deviations.append(f"{stream} has {is_} replica(s), nats.replicas says {replicas}: run `nbwater migrate`")
    if monitor_url is not None:
        deviations += await asyncio.to_thread(_sync_deviations, monitor_url.split(","))
    if deviations:
        raise StreamContractError(f"stream {UP_STREAM} breaks the custody contract: " + "; ".join(deviations))


async def _config(js: JetStreamContext, stream: str) -> StreamConfig:
    try:
        return (await js.stream_info(stream)).config
    except NotFoundError as error:
        raise StreamContractError(f"stream {stream} does not exist: run `nbwater migrate`") from error


def _deviations(config: StreamConfig) -> list[str]:
    wanted: list[tuple[str, Any, Any]] = [
        ("storage", config.storage, StorageType.FILE),
        ("retention", config.retention, RetentionPolicy.LIMITS),
        ("discard", config.discard, DiscardPolicy.NEW),
        ("max_age", config.max_age or 0, 0),
        # `async` answers before the disk, whatever the server's sync_interval says
        ("persist_mode", str(config.persist_mode or PersistMode.DEFAULT.value), PersistMode.DEFAULT.value),
    ]
    found = [f"{name} is {is_!s}, must be {must!s}" for name, is_, must in wanted if is_ != must]
    if not config.max_bytes or config.max_bytes <= 0:
        found.append("max_bytes is unlimited, must be explicit")
    if any((limit or 0) > 0 for limit in (config.max_msgs, config.max_msgs_per_subject)):
        found.append("a message limit is set, must be none")
    return found


def _sync_deviations(monitor_urls: Sequence[str]) -> list[str]:
    """Of the servers that answer; one must. A server that is down at this moment loses nothing by it."""
    unread: list[str] = []
    found: list[str] = []
    for monitor_url in monitor_urls:
        url = f"{monitor_url.strip().rstrip('/')}/jsz"
        if not url.startswith(("http://", "https://")):
            raise StreamContractError(f"NATS monitoring address {monitor_url!r} is not a http address")
        try:
            with urllib.request.urlopen(url, timeout=MONITOR_TIMEOUT_S) as answer:  # noqa: S310 - checked above
                config = json.load(answer).get("config") or {}
        except (OSError, ValueError) as error:
            unread.append(f"{url}: {error}")
            continue
        if not config.get("sync_always"):
            found.append(f"sync_interval of the nats-server at {monitor_url} is not `always`")
    if len(unread) == len(monitor_urls):
        raise StreamContractError(f"cannot read sync_interval from {'; '.join(unread)}")
    return found
