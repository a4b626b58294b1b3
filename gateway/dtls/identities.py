"""Whose key an identity names: the PSK side of the registry. Pure."""

from __future__ import annotations

import hashlib
from collections import OrderedDict

import structlog

from gateway.coap.port import read_host
from gateway.devices import Devices
from gateway.dtls.engine import Psk
from gateway.dtls.session import Speaker
from gateway.key_uses import KeyUses
from gateway.strangers import Strangers
from metering.credentials import Credential, CredentialKind, MasterKeys
from metering.errors import CredentialError
from metering.following import Pace
from metering.model import Door

MAX_IDENTITY_BYTES = 128
"""RFC 4279 section 5.3 wants 128 supported."""

MAX_REMEMBERED_FAILURES = 4096
MAX_LOGGED_IDENTITY = 64
FAILURE_LOG_PAUSE_S = 1.0
_MARK_BYTES = 8
_IMEI_URNS = ("urn:imei:", "urn:dev:imei:", "imei:")
_log = structlog.get_logger()


class Identities:
    """Devices by what they call themselves in a handshake.

    That is the id of a key or, for clients whose identity is their endpoint name, a name of the device (`urn:imei:…`
    or the bare IMEI or serial). Then any of its keys may be meant: the newest first, after a failure the next one.
    """

    def __init__(
        self,
        devices: Devices,
        master_keys: MasterKeys,
        key_uses: KeyUses | None = None,
        strangers: Strangers | None = None,
    ) -> None:
        self._devices, self._master_keys = devices, master_keys
        self._key_uses = KeyUses(devices) if key_uses is None else key_uses
        self._strangers = Strangers() if strangers is None else strangers
        self._pace = Pace(FAILURE_LOG_PAUSE_S)
        self._failures: OrderedDict[tuple[str, str], int] = OrderedDict()

    def key_of(self, identity: str, host: str) -> Psk | None:
        """The key that counts now, opened. An unknown identity costs two look-ups."""
        candidates = self._candidates(identity)
        if not candidates:
            return None
        device, credential = candidates[self._failures.get((identity, host), 0) % len(candidates)]
        try:
            key = self._master_keys.open(credential)
        except CredentialError as error:
            _log.error("a PSK cannot be used", device=device, error=str(error))
            return None
        return Psk(Speaker(device, identity, mark_of(credential)), key)

    def proven(self, speaker: Speaker) -> None:
        """This device has just shown that it has this key, by a handshake or in a session."""
        if not self._devices.is_rotating(speaker.device):
            return
        for device, credential in self._candidates(speaker.identity):
            if device == speaker.device and mark_of(credential) == speaker.mark:
                self._key_uses.used(device, CredentialKind.PSK, credential.key_id)

    def failed(self, identity: str, host: str, now: float) -> None:
        """A handshake from this host failed: its next one is asked for the identity's next key, if there are several.
        Failures elsewhere change nothing, lest strangers decide which key a meter is asked for."""
        candidates = self._candidates(identity)
        reason = "wrong_key" if candidates else "unknown_identity"
        name = _without_urn(identity)
        if not candidates and self._devices.complete and self._devices.find(name) is None:
            self._strangers.knock(name, Door.DTLS, read_host(host)[1], reason)
        if self._pace.allows(now):
            _log.warning("handshake_failed", reason=reason, identity=identity[:MAX_LOGGED_IDENTITY], source=host)
        if len(candidates) > 1:
            self._failures[identity, host] = self._failures.pop((identity, host), 0) + 1
            if len(self._failures) > MAX_REMEMBERED_FAILURES:
                self._failures.popitem(last=False)

    def stands(self, speaker: Speaker) -> bool:
        """Whether this key of this device is still valid; while nobody knows, it is."""
        if not self._devices.ready:
            return True
        return any(
            device == speaker.device and mark_of(credential) == speaker.mark
            for device, credential in self._candidates(speaker.identity)
        )

    def _candidates(self, identity: str) -> list[tuple[str, Credential]]:
        key_id = identity.encode()
        if len(key_id) > MAX_IDENTITY_BYTES:
            return []
        if found := self._devices.by_key(CredentialKind.PSK, key_id):
            return [found]
        named = self._devices.find(_without_urn(identity))
        if named is None:
            return []
        return [(named[0], key) for key in self._devices.credentials(named[0]) if key.kind is CredentialKind.PSK]


def mark_of(credential: Credential) -> bytes:
    """The same for the same seal in every process; says nothing about the key."""
    return hashlib.sha256(credential.sealed).digest()[:_MARK_BYTES]


def _without_urn(identity: str) -> str:
    for prefix in _IMEI_URNS:
        if identity.lower().startswith(prefix):
            return identity[len(prefix) :]
    return identity
