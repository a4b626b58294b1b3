"""Answers nats-server when a meter logs in at its MQTT listener. All gateways do, each login one of them."""

from __future__ import annotations

import asyncio
import time
from collections import Counter

import nats.errors
import structlog
from nats.aio.msg import Msg

from gateway.key_uses import KeyUses
from gateway.link import StreamLink
from gateway.mqtt.callout import SUBJECT, XKEY_HEADER, CalloutKeys, LoginRequest
from gateway.mqtt.logins import UNKNOWN_USER, Logins
from gateway.strangers import Strangers
from metering.credentials import CredentialKind
from metering.errors import AdmissionError, CredentialError
from metering.following import Pace
from metering.model import Door

QUEUE = "gateway"
MAX_PENDING = 4096
"""Logins that wait for their answer here; nats-server gives up each after some seconds."""
LOG_PAUSE_S = 10.0

_log = structlog.get_logger()


class Responder:
    """`life_s`: a connection is ended after it and may come again at once."""

    def __init__(
        self,
        link: StreamLink,
        keys: CalloutKeys,
        logins: Logins,
        life_s: int,
        max_payload_bytes: int,
        key_uses: KeyUses,
        strangers: Strangers,
    ) -> None:
        self._link, self._keys, self._logins = link, keys, logins
        self._key_uses, self._strangers = key_uses, strangers
        self._life_s, self._max_payload = life_s, max_payload_bytes
        self._pace = Pace(LOG_PAUSE_S)
        self.admitted = 0
        self.refused: Counter[str] = Counter()

    async def start(self) -> None:
        """For as long as the link lives, reconnections included."""
        await self._link.listen(SUBJECT, self._on_request, QUEUE, MAX_PENDING)

    async def _on_request(self, message: Msg) -> None:
        xkey = (message.headers or {}).get(XKEY_HEADER, "")
        now_s = int(time.time())
        try:
            request = self._keys.read(message.data, xkey, now_s)
        except CredentialError as error:
            self._refused("unreadable", None, str(error))
            return
        try:
            await message.respond(self._answer(request, xkey, now_s))
        except nats.errors.Error as error:
            self._refused("no_answer", request, repr(error))
        await asyncio.sleep(0)  # logins come in crowds when a server starts; other doors have their turns between them

    def _answer(self, request: LoginRequest, xkey: str, now_s: int) -> bytes:
        try:
            device = self._logins.device_of(request, time.monotonic())
        except AdmissionError as error:
            if error.reason == UNKNOWN_USER and not self._logins.knows(request.user):
                self._strangers.knock(request.user, Door.MQTT, request.host, error.reason)
            self._refused(error.reason, request, "")
            return self._keys.refuse(request, "not authorised", now_s, xkey)
        self.admitted += 1
        self._key_uses.used(device, CredentialKind.MQTT, request.user.encode())
        return self._keys.admit(request, device, now_s, self._life_s, self._max_payload, xkey)

    def _refused(self, reason: str, request: LoginRequest | None, detail: str) -> None:
        self.refused[reason] += 1
        if self._pace.allows(time.monotonic()):
            _log.warning(
                "mqtt_login_refused", reason=reason, user=request.user[:64] if request else "",
                source=request.host if request else "", detail=detail,
            )  # fmt: skip
