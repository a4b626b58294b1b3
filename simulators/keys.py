"""Keys of simulated meters: a function of the serial, so that every run knows them and the platform takes them once.

Whoever reads this can speak for a simulated meter; a real one never has such a key.
"""

from __future__ import annotations

import hashlib

from simulators.oscore import ProtectedMeter

EPOCH_S = 1_767_225_600
NUMBERS_A_SECOND = 1024
"""A run begins above every number that earlier runs used, as long as each meter sends less than this on average."""


def sender_id(serial: str) -> bytes:
    """The number that is printed on the meter, up to 16 digits, in as few bytes as it takes."""
    number = int(serial)
    return number.to_bytes((number.bit_length() + 7) // 8, "big")


def master_secret(serial: str) -> bytes:
    return hashlib.sha256(b"nbwater simulated meter " + serial.encode()).digest()[:16]


def key_row(serial: str) -> dict[str, str]:
    """A row of a key file: what the platform is told of the meter's key."""
    return {
        "serial": serial, "kind": "oscore", "key_id": sender_id(serial).hex(), "key": master_secret(serial).hex()
    }  # fmt: skip


def psk(serial: str) -> bytes:
    return hashlib.sha256(b"nbwater simulated meter, DTLS " + serial.encode()).digest()[:16]


def psk_row(serial: str, identity: str) -> dict[str, str]:
    """As `key_row`, for DTLS."""
    return {"serial": serial, "kind": "psk", "key_id": identity, "key": psk(serial).hex()}


def mqtt_password(serial: str) -> str:
    return hashlib.sha256(b"nbwater simulated meter, MQTT " + serial.encode()).hexdigest()[:32]


def mqtt_row(serial: str, user: str) -> dict[str, str]:
    """As `key_row`, for MQTT."""
    return {"serial": serial, "kind": "mqtt", "key_id": user, "key": mqtt_password(serial)}


def first_number(now_s: float) -> int:
    """The Partial IV with which a run begins that starts at this Unix time."""
    return max(0, int((now_s - EPOCH_S) * NUMBERS_A_SECOND))


def protected_meter(serial: str, next_number: int) -> ProtectedMeter:
    return ProtectedMeter(master_secret(serial), sender_id(serial), next_number=next_number)
