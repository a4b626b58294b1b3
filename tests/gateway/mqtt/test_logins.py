"""Who may log in. What nats-server itself does with the answers is tried in test_door.py."""

from __future__ import annotations

import base64
import json

import nacl.public
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.devices import Devices
from gateway.mqtt.callout import CalloutKeys, LoginRequest, public_curve_key
from gateway.mqtt.logins import BURST, FailedLogins, Logins
from gateway.mqtt.topics import PROBE
from metering.credentials import MasterKeys
from metering.errors import CredentialError, NbwaterError, RegistryNotLoadedError, SettingsError, UnauthorisedError
from metering.registry import ENABLED, RegistryEntry
from tests.gateway.mqtt.conftest import KEYS, PLAIN_PASSWORD, entry

SECRET = "ab" * 32
REQUEST = LoginRequest("N1", "U1", "meter", PLAIN_PASSWORD, "meter", "10.0.0.1", True)


def make(listening: bool = True, keys: MasterKeys | None = KEYS, ready: bool = True) -> Logins:
    devices = Devices()
    for known in (
        entry("meter"),
        entry("other"),
        entry("with.dot", user="dotted"),
        entry("long-name", user="short"),
        entry("nbwater-gateway"),
    ):
        devices.apply(known)
    devices.apply(RegistryEntry("aliased", ("aliased", "serial"), (), ENABLED, entry("aliased").credentials))
    devices.ready = devices.complete = ready
    return Logins(devices, keys, FailedLogins(6), "of the probe", lambda: listening)


@pytest.mark.parametrize(
    ("changes", "device"),
    [
        ({}, "meter"),
        ({"user": "short", "client_id": "long-name"}, "long-name"),
        ({"user": "short", "client_id": "short"}, "long-name"),
        ({"user": "aliased", "client_id": "serial"}, "aliased"),
        ({"user": PROBE, "client_id": PROBE, "password": "of the probe"}, PROBE),
    ],
)
def test_admitted(changes: dict[str, str], device: str) -> None:
    assert make().device_of(REQUEST._replace(**changes), 0) == device


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"password": "wrong"}, "wrong_password"),
        ({"password": ""}, "wrong_password"),
        ({"user": "nobody"}, "unknown_user"),
        ({"user": ""}, "unknown_user"),
        ({"user": "dotted", "client_id": "dotted"}, "unfit_name"),
        ({"client_id": "other"}, "foreign_client_id"),
        ({"client_id": "nbwater-gateway"}, "foreign_client_id"),
        ({"client_id": ""}, "foreign_client_id"),
        ({"user": PROBE, "client_id": PROBE}, "wrong_password"),
        ({"user": "nbwater-gateway", "client_id": "nbwater-gateway"}, "foreign_client_id"),
        ({"is_mqtt": False}, "not_mqtt"),
    ],
)
def test_refused(changes: dict[str, object], reason: str) -> None:
    with pytest.raises(UnauthorisedError, match=reason):
        make().device_of(REQUEST._replace(**changes), 0)  # type: ignore[arg-type]  # by name


def test_nobody_is_let_in_while_nobody_listens_or_the_registry_is_not_there() -> None:
    for logins in (make(listening=False), make(ready=False)):
        with pytest.raises(RegistryNotLoadedError):
            logins.device_of(REQUEST, 0)
    with pytest.raises(UnauthorisedError, match="no_master_key"):
        make(keys=None).device_of(REQUEST, 0)
    with pytest.raises(UnauthorisedError, match="key_does_not_open"):
        make(keys=MasterKeys({0: bytes(32)})).device_of(REQUEST, 0)


def test_failures_of_one_pair_are_limited_and_harm_nobody_else() -> None:
    logins = make()
    for _ in range(BURST):
        with pytest.raises(UnauthorisedError, match="wrong_password"):
            logins.device_of(REQUEST._replace(password="guess"), 0)
    with pytest.raises(UnauthorisedError, match="too_many_failures"):
        logins.device_of(REQUEST, 1)
    assert logins.device_of(REQUEST._replace(host="10.0.1.1"), 1) == "meter"
    assert logins.device_of(REQUEST._replace(user="other", client_id="other"), 1) == "other"
    assert logins.device_of(REQUEST, 11) == "meter"


def test_the_table_of_failures_is_bounded() -> None:
    failures = FailedLogins(6, max_sources=10)
    for n in range(100):
        failures.failed((n, "user"), 0)
    assert len(failures) == 10


def question(keys: CalloutKeys, server: nacl.public.PrivateKey, exp: int = 100, **shown: str) -> tuple[bytes, str]:
    """As nats-server asks, and its public curve key."""
    claims = {
        "aud": "nats-authorization-request", "exp": exp,
        "nats": {
            "server_id": {"id": "N1"}, "user_nkey": "U1", "connect_opts": shown,
            "client_info": {"type": "mqtt", "mqtt_id": "meter", "host": "10.0.0.1"},
        },
    }  # fmt: skip
    token = b"e30." + base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=") + b".c2ln"
    raw = base64.b32decode(keys.xkey + "=" * (-len(keys.xkey) % 8))[1:-2]
    sealed = nacl.public.Box(server, nacl.public.PublicKey(raw)).encrypt(token)
    return b"xkv1" + bytes(sealed), public_curve_key(server)


def test_a_question_is_read_and_a_stale_one_is_not() -> None:
    keys, server = CalloutKeys(SECRET), nacl.public.PrivateKey.generate()
    data, xkey = question(keys, server, **{"user": "meter", "pass": PLAIN_PASSWORD})
    assert keys.read(data, xkey, 100) == REQUEST
    assert PLAIN_PASSWORD not in repr(keys.read(data, xkey, 100))
    with pytest.raises(CredentialError, match="too old"):
        keys.read(data, xkey, 101)
    with pytest.raises(CredentialError):
        CalloutKeys("cd" * 32).read(data, xkey, 100)


@given(st.binary(max_size=200), st.text(max_size=60))
def test_garbage_is_a_credential_error(data: bytes, xkey: str) -> None:
    for garbage in (data, b"xkv1" + data):
        with pytest.raises(CredentialError):
            CalloutKeys(SECRET).read(garbage, xkey, 0)


@pytest.mark.parametrize("secret", ["", "xy", "ab" * 31, "zz" * 32])
def test_a_secret_that_is_none(secret: str) -> None:
    with pytest.raises(SettingsError, match="callout_secret") as refused:
        CalloutKeys(secret)
    assert not secret or secret not in str(refused.value)
    assert isinstance(refused.value, NbwaterError)
