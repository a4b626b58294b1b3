"""The MQTT door: the session at the broker, the logins of meters, reports in, commands out.

At nats-server's listener (MQTT 3.1.1) one gateway holds the one session and the others stand by (`gateway.mqtt.turn`);
at an external broker (MQTT 5) each has a session of its own in one shared subscription.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import secrets
import socket
import time
from collections.abc import Mapping

import paho.mqtt.client as paho
import structlog
from nats.aio.msg import Msg

from gateway.coap.refusal_notes import UNKNOWN_DEVICE
from gateway.metrics import Readings
from gateway.mqtt import turn
from gateway.mqtt.callout import CalloutKeys
from gateway.mqtt.connection import Connection, tls_context
from gateway.mqtt.ending import Endings
from gateway.mqtt.endpoints import Endpoint, parse
from gateway.mqtt.handing_over import HandingOver
from gateway.mqtt.logins import FailedLogins, Logins
from gateway.mqtt.parts import MqttParts
from gateway.mqtt.probe import require_no_strangers, require_rights
from gateway.mqtt.reports import RETRY_PAUSE_S, SOURCE, Reports, TooManyError
from gateway.mqtt.responder import Responder
from gateway.mqtt.topics import ALL_UP, HOLDER_ID, SHARED_ALL_UP
from metering.errors import SettingsError, StartError, UnavailableError
from metering.following import Pace
from metering.model import Door
from metering.settings import MqttSettings

FIRST_PAUSE_S, LAST_PAUSE_S = 0.3, 10.0
"""Between two attempts at the broker: twice as long after each."""
SHUT_PAUSE_S = 30.0
"""Between two looks at a broker that lets people do too much."""
TRIED_HOLDS_S = 3600.0
"""So long after it was tried what a broker lets people do, a new connection does without."""
LOG_PAUSE_S = 10.0

_log = structlog.get_logger()


class MqttDoor:
    """See `gateway.doors.OpenDoor`."""

    name = "mqtt"

    def __init__(self, settings: MqttSettings, parts: MqttParts) -> None:
        """Raises SettingsError."""
        self._settings, self._parts = settings, parts
        self._endpoints = parse(settings.url.get_secret_value())
        self._tls = (
            tls_context(settings.tls_ca, settings.tls_check_name)
            if any(endpoint.tls for endpoint in self._endpoints)
            else None
        )
        self._external = settings.broker == "external"
        if self._external and not settings.probe_password.get_secret_value():
            raise SettingsError("mqtt.probe_password is missing: an external broker's access list is tried with it")
        self._turn = turn.Turn(secrets.token_bytes(8), parts.worker, time.monotonic())
        self._connection: Connection | None = None
        self._is_shut = self._is_stopping = False
        self._connects = 0
        self._try_again_at = float("-inf")
        self._pace = Pace(LOG_PAUSE_S)
        self._reports = Reports(
            parts.intake, parts.devices, settings.max_inflight, settings.max_payload_bytes, not self._external,
            self._taken, self._stranger,
        )  # fmt: skip
        self._handing_over = HandingOver(parts.commands, settings.session_s)
        self._endings = Endings(self._endpoints, self._tls)
        self._responder = None if self._external else self._make_responder(settings, parts)

    def _make_responder(self, settings: MqttSettings, parts: MqttParts) -> Responder:
        keys = CalloutKeys(settings.callout_secret.get_secret_value())
        failures = FailedLogins(settings.failed_logins_per_minute)
        logins = Logins(parts.devices, parts.master_keys, failures, keys.probe_password, self._somebody_listens)
        return Responder(
            parts.link, keys, logins, settings.session_s, settings.max_payload_bytes, parts.key_uses, parts.strangers
        )  # fmt: skip

    def ports(self) -> Mapping[str, int]:
        """None: the listener is the broker's."""
        return {}

    async def start(self) -> None:
        """Nothing yet: without the stream nothing could be acknowledged, and the broker keeps what comes."""
        self._parts.commands.on_new(self._new_command)
        if not self._external:
            self._parts.devices.on_keys_gone(self._endings.keys_gone)

    async def serve(self) -> None:
        async with asyncio.TaskGroup() as group:
            if self._responder is not None:
                await self._responder.start()
                await self._parts.link.listen(turn.SUBJECT, self._on_holder)
                await self._parts.link.tell(turn.SUBJECT, turn.ASK)
                group.create_task(self._say_who_holds(), name="mqtt holder")
            group.create_task(self._endings.run(), name="mqtt endings")
            group.create_task(self._retry(), name="mqtt retries")
            group.create_task(self._keep_session(), name="mqtt session")

    def stop_reading(self) -> None:
        self._is_stopping = True
        if self._connection is not None:
            self._connection.pause()

    async def stop(self) -> None:
        if self._connection is not None:
            self._connection.close()

    # What the connection hears (see `gateway.mqtt.connection.Hears`).

    def received(self, connection: Connection, message: paho.MQTTMessage) -> None:
        try:
            topic = message.topic
        except UnicodeDecodeError:
            topic = ""
        try:
            self._reports.received(connection, message.mid, topic, bytes(message.payload), message.retain)
        except TooManyError:
            self._say("the MQTT broker sends more at once than mqtt.max_inflight", connection.endpoint)
            if self._external:  # it sends again in the next connection; nats-server in this one, after 30 s
                connection.close()

    def published(self, connection: Connection, message_id: int, has_subscriber: bool) -> None:
        if connection is self._connection:
            self._handing_over.published(message_id, has_subscriber)

    def gauges(self) -> Readings:
        reports, over, ends = self._reports, self._handing_over, self._endings
        found = {
            "mqtt_connected": ("1 while this process has the session at the broker", lambda: self._is_open),
            "mqtt_shut": (
                "1 while the broker lets people do too much and the door stays closed",
                lambda: self._is_shut,
            ),
            "mqtt_connects": ("Connections to the broker so far", lambda: self._connects),
            "mqtt_unacknowledged": ("Reports by MQTT that wait for custody", lambda: len(reports)),
            "mqtt_acknowledged": ("Reports by MQTT acknowledged", lambda: reports.totals.acknowledged),
            "mqtt_retried": ("Reports by MQTT offered to custody again", lambda: reports.totals.retried),
            "mqtt_refused": ("Publishes that are no report of a meter", reports.totals.refused.total),
            "mqtt_lost_qos0": ("Reports sent with QoS 0 that could not be taken", lambda: reports.totals.lost_qos0),
            "mqtt_handed_over": ("Commands the broker has taken", lambda: over.handed_over),
            "mqtt_ended_sessions": ("Sessions ended because their key is gone", lambda: ends.ended),
        }
        if (responder := self._responder) is not None:
            found |= {
                "mqtt_logins": ("Logins of meters admitted", lambda: responder.admitted),
                "mqtt_logins_refused": ("Logins refused", responder.refused.total),
            }
        return found

    @property
    def _is_open(self) -> bool:
        return self._connection is not None and not self._connection.closed.is_set()

    def _somebody_listens(self) -> bool:
        return self._is_open or self._turn.other_holds(time.monotonic())

    async def _keep_session(self) -> None:
        """For ever: wait for the turn, connect, serve until it ends."""
        pause_s = FIRST_PAUSE_S
        for endpoint in itertools.cycle(self._endpoints):
            while self._is_stopping or not (self._external or self._turn.is_mine(time.monotonic())):  # noqa: ASYNC110 - time decides
                await asyncio.sleep(0.05)
            try:
                await self._one_session(endpoint)
                pause_s = FIRST_PAUSE_S
            except StartError as error:
                self._is_shut = True
                _log.error("the MQTT door stays closed", error=str(error))
                pause_s = SHUT_PAUSE_S
            except UnavailableError as error:
                self._say(str(error), endpoint)
            await asyncio.sleep(pause_s * random.uniform(0.8, 1.2))  # noqa: S311 - not a secret
            pause_s = min(2 * pause_s, LAST_PAUSE_S)

    async def _one_session(self, endpoint: Endpoint) -> None:
        """Raises UnavailableError and, for a broker that cannot be trusted, StartError."""
        if time.monotonic() >= self._try_again_at:
            await require_no_strangers(endpoint, self._tls)
            if self._external:
                await require_rights(endpoint, self._settings.probe_password.get_secret_value(), self._tls)
            self._try_again_at = time.monotonic() + TRIED_HOLDS_S
        self._is_shut = False
        name = f"{HOLDER_ID}-{socket.gethostname()}-{self._parts.worker}" if self._external else HOLDER_ID
        connection = Connection(endpoint, name, self._external, self._settings.max_inflight, self._tls, self)
        self._reports.begin()
        self._handing_over.begin()
        try:
            await connection.open(SHARED_ALL_UP if self._external else ALL_UP)
            self._connection = connection
            self._connects += 1
            await self._beat()
            _log.info("the MQTT door is open", broker=endpoint.place)
            await connection.keep()
        finally:
            connection.close()
            self._connection = None
        self._say("the MQTT connection ended", endpoint)

    async def _retry(self) -> None:
        while True:
            await asyncio.sleep(RETRY_PAUSE_S)
            self._reports.try_again()

    async def _say_who_holds(self) -> None:
        while True:
            await asyncio.sleep(turn.BEAT_EVERY_S)
            await self._beat()

    async def _beat(self) -> None:
        if self._is_open and not self._external:
            await self._parts.link.tell(turn.SUBJECT, self._turn.name)

    async def _on_holder(self, message: Msg) -> None:
        self._turn.heard(message.data, time.monotonic())
        if message.data == turn.ASK:
            await self._beat()

    def _taken(self, device: str, payload: bytes) -> None:
        self._handing_over.heard(device, payload, self._connection, time.monotonic())

    def _new_command(self, device: str) -> None:
        self._handing_over.new_command(device, self._connection, time.monotonic())

    def _stranger(self, device: str, reason: str) -> None:
        self._parts.counters.refused[f"mqtt_{reason}"] += 1
        if reason == UNKNOWN_DEVICE:
            self._parts.strangers.knock(device, Door.MQTT, SOURCE, reason)
        if self._pace.allows(time.monotonic()):
            _log.warning("mqtt_report_refused", device=device, reason=reason)

    def _say(self, what: str, endpoint: Endpoint) -> None:
        if not self._is_stopping and self._pace.allows(time.monotonic()):
            _log.warning("mqtt_broker", error=what, broker=endpoint.place)
