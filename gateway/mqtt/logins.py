"""Who may log in at the listener, and how often somebody may be wrong. Pure; time is an argument.

The client id must be the device's own: a session belongs to a client id, and whoever connects with another's ends that
one's session (MQTT 3.1.1 section 3.1.4), the gateway's own included.
"""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Callable

from gateway.devices import Devices
from gateway.mqtt.callout import LoginRequest
from gateway.mqtt.topics import HOLDER_ID, PROBE, fits
from gateway.refusals import bits_of, prefix_of
from metering.credentials import CredentialKind, MasterKeys
from metering.errors import CredentialError, RegistryNotLoadedError, UnauthorisedError

MAX_SOURCES = 65_536
BURST = 5
"""Failures in a row before the limit is felt."""
MAX_USER_BYTES = 64
UNKNOWN_USER = "unknown_user"
"""The reason by which a user name that nobody has is refused."""


class FailedLogins:
    """A token bucket of failures for each user name and source prefix (/24, /64), in a bounded table.

    While one is empty not even the right password is looked at: a guesser learns nothing. It is the pair that counts,
    so that nobody is kept out by somebody else behind the same address. A table that is full forgets its oldest.
    """

    def __init__(self, per_minute: float, max_sources: int = MAX_SOURCES) -> None:
        self._per_s, self._max_sources = per_minute / 60, max_sources
        self._buckets: dict[tuple[int, str], tuple[float, float]] = {}

    def __len__(self) -> int:
        return len(self._buckets)

    def allows(self, key: tuple[int, str], now: float) -> bool:
        return self._tokens(key, now) >= 1

    def failed(self, key: tuple[int, str], now: float) -> None:
        tokens = self._tokens(key, now)
        self._buckets.pop(key, None)
        if len(self._buckets) >= self._max_sources:
            del self._buckets[next(iter(self._buckets))]
        self._buckets[key] = (max(0.0, tokens - 1), now)

    def _tokens(self, key: tuple[int, str], now: float) -> float:
        tokens, at = self._buckets.get(key, (float(BURST), now))
        return min(float(BURST), tokens + (now - at) * self._per_s)


class Logins:
    """`is_listening`: whether a gateway hears what meters publish; before it does nobody may, for nats-server forgets
    what nobody subscribes to."""

    def __init__(
        self,
        devices: Devices,
        master_keys: MasterKeys | None,
        failures: FailedLogins,
        probe_password: str,
        is_listening: Callable[[], bool],
    ) -> None:
        self._devices, self._master_keys, self._failures = devices, master_keys, failures
        self._probe_password, self._is_listening = probe_password, is_listening

    def device_of(self, request: LoginRequest, now: float) -> str:
        """The canonical name of who logs in. Raises UnauthorisedError; RegistryNotLoadedError: to come again."""
        if not request.is_mqtt:
            raise UnauthorisedError("not_mqtt")
        if not self._devices.ready or not self._is_listening():
            raise RegistryNotLoadedError("not_listening" if self._devices.ready else "registry_not_loaded")
        key = (_prefix(request.host), request.user[:MAX_USER_BYTES])
        if not self._failures.allows(key, now):
            raise UnauthorisedError("too_many_failures")
        try:
            return self._checked(request)
        except UnauthorisedError:
            self._failures.failed(key, now)
            raise

    def knows(self, name: str) -> bool:
        """Whether a device has this name, with or without a password."""
        return self._devices.find(name) is not None

    def _checked(self, request: LoginRequest) -> str:
        device, password = self._expected(request.user)
        if not hmac.compare_digest(password, request.password.encode()):
            raise UnauthorisedError("wrong_password")
        if not fits(device):
            raise UnauthorisedError("unfit_name")
        if not self._owns(request, device):
            raise UnauthorisedError("foreign_client_id")
        return device

    def _expected(self, user: str) -> tuple[str, bytes]:
        """The device and its password."""
        if user == PROBE:
            return PROBE, self._probe_password.encode()
        found = self._devices.by_key(CredentialKind.MQTT, user.encode())
        if found is None:
            raise UnauthorisedError(UNKNOWN_USER if self._devices.complete else "gap")
        if self._master_keys is None:
            raise UnauthorisedError("no_master_key")
        device, credential = found
        try:
            return device, self._master_keys.open(credential)
        except CredentialError as error:
            raise UnauthorisedError("key_does_not_open") from error

    def _owns(self, request: LoginRequest, device: str) -> bool:
        """The client id is a name of the device, or its user name where that is nobody else's name. Never the gateways'
        own, whatever a device is called: whoever has it takes their session over, and all that waits there."""
        client_id = request.client_id
        if client_id == HOLDER_ID:
            return False
        if client_id == device:
            return True
        found = self._devices.find(client_id)
        return found[0] == device if found else client_id == request.user


def _prefix(host: str) -> int:
    """As the refusal limiter counts sources; 0 for an address that cannot be read."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return 0
    return prefix_of(bits_of(address))
