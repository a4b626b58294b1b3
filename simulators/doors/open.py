"""The ways to a platform, as it says where its doors are."""

from __future__ import annotations

from collections.abc import Collection

from simulators.coap import Sender
from simulators.doors.dtls import Dtls
from simulators.doors.lwm2m import Lwm2m
from simulators.doors.mqtt import Mqtt
from simulators.doors.push import Push
from simulators.doors.udp import Oscore, Plain
from simulators.doors.way import Way
from simulators.exchange import Timers
from simulators.keys import key_row, mqtt_row, psk_row
from simulators.target import Places


def ways(places: Places, doors: Collection[str], sender: Sender, timers: Timers, first_number: int) -> dict[str, Way]:
    """By door, for those asked for that are open. `sender`: to the CoAP port."""
    found: dict[str, Way] = {}
    for door in doors:
        if door not in places.open():
            continue
        match door:
            case "coap":
                found[door] = Plain(sender)
            case "oscore":
                found[door] = Oscore(sender, first_number)
            case "dtls":
                found[door] = Dtls(places.host, places.coaps_port, timers)
            case "lwm2m":
                found[door] = Lwm2m(places.host, places.coap_port, timers)
            case "mqtt":
                found[door] = Mqtt(places.host, places.mqtt_port)
            case "push":
                found[door] = Push(places.push_url)
    return found


def key_row_for(door: str, serial: str, device: str) -> dict[str, str] | None:
    """The row of a key file without which a meter cannot use this door; None: it needs no key."""
    match door:
        case "oscore":
            return key_row(serial)
        case "dtls":
            return psk_row(serial, device)
        case "mqtt":
            return mqtt_row(serial, device)
        case _:
            return None
