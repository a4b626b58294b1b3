"""Where a meter of each door fetches its image."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from metering.firmware_settings import FirmwareAddresses, FirmwareSettings
from metering.model import Authentication

PORTS = {"coap": 5683, "coaps": 5684}
PATH = "/fw/0123456789abcdef"
DTLS, OSCORE, MQTT, PUSHER = Authentication.DTLS, Authentication.OSCORE, Authentication.MQTT, Authentication.PUSHER


def told(base: str, authentication: Authentication, ports: dict[str, int] = PORTS, **own: str) -> str:
    settings = FirmwareSettings(uri_base=base, **own)
    return FirmwareAddresses(settings, ports).of(f"{settings.uri_base}{PATH}", authentication)


@pytest.mark.parametrize(
    ("base", "authentication", "heard"),
    [
        ("coaps://gw", DTLS, "coaps://gw"),
        ("coaps://gw", OSCORE, "coap://gw"),
        ("coap://gw", DTLS, "coaps://gw"),
        ("coap://gw:5683", DTLS, "coaps://gw"),
        ("coaps://[2001:db8::1]:5684/", OSCORE, "coap://[2001:db8::1]"),
        ("coaps://gw", MQTT, "coaps://gw"),
        ("https://files.example/meters", OSCORE, "https://files.example/meters"),
        ("https://files.example", PUSHER, "https://files.example"),
    ],
)
def test_without_settings_of_its_own_a_door_gets_what_its_keys_open(
    base: str, authentication: Authentication, heard: str
) -> None:
    assert told(base, authentication) == f"{heard}{PATH}"


def test_a_port_that_is_not_the_usual_one_is_that_of_the_gateways_own_door() -> None:
    assert told("coap://gw:6683", DTLS, {"coap": 6683, "coaps": 6684}) == f"coaps://gw:6684{PATH}"
    assert told("coap://gw", DTLS, {"coap": 6683, "coaps": 6684}) == f"coaps://gw{PATH}"


def test_a_setting_of_the_door_wins() -> None:
    own = {"uri_base_push": "https://files.example/", "uri_base_dtls": "coaps://10.1.2.3:7000"}
    assert told("coap://gw", PUSHER, **own) == f"https://files.example{PATH}"
    assert told("coap://gw", DTLS, **own) == f"coaps://10.1.2.3:7000{PATH}"
    assert told("coap://gw", MQTT, **own) == f"coap://gw{PATH}"


def test_what_a_person_gave_stays_and_so_does_everything_without_a_base() -> None:
    addresses = FirmwareAddresses(FirmwareSettings(uri_base="coap://gw"), PORTS)
    for uri in ("coap://other/fw/12", "coap://gw/images/12", "coap://gw"):
        assert addresses.of(uri, DTLS) == uri
    assert addresses.of(f"coap://gw{PATH}", Authentication.CLAIMED) == f"coap://gw{PATH}"
    empty = FirmwareAddresses(FirmwareSettings(uri_base_push="https://files.example"), PORTS)
    assert empty.of("coap://gw/fw/12", PUSHER) == "coap://gw/fw/12"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("uri_base", "gw.example"),
        ("uri_base", "ftp://gw"),
        ("uri_base", "coap://"),
        ("uri_base", "coap://gw:port"),
        ("uri_base", "coap://gw:0"),
        ("uri_base", "https://user:secret@gw"),
        ("uri_base", "https://gw/?a=1"),
        ("uri_base", "https://gw/#a"),
        ("uri_base", "https://gw/a b"),
        ("uri_base", "https://水表.example"),
        ("uri_base", "coap://" + "g" * 200),
        ("uri_base_dtls", "coap://gw"),
        ("uri_base_oscore", "coaps://gw"),
        ("uri_base_push", "mqtt://gw"),
    ],
)
def test_what_no_meter_could_fetch_from_is_refused(name: str, value: str) -> None:
    with pytest.raises(ValidationError, match=name):
        FirmwareSettings(**{name: value})
