"""The words of the platform (DESIGN section 4) as types. Units are in the names; instants are UTC."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import IntEnum, StrEnum
from types import MappingProxyType
from typing import Any, NamedTuple, NewType

MeterId = NewType("MeterId", int)
"""Database key of a meter."""


EARLIEST_S = 1_262_304_000
"""2010-01-01 UTC: no reading is older. Clocks that were never set start at 1970 or 2000, and NB-IoT is younger than
this."""

AHEAD_S = 86_400
"""How far a time that somebody's clock gave may lie after the receive time."""


class Door(StrEnum):
    """The way a report came in. COAP: in the clear; what comes by LwM2M is LWM2M, whatever protects it."""

    COAP = "coap"
    OSCORE = "oscore"
    DTLS = "dtls"
    LWM2M = "lwm2m"
    MQTT = "mqtt"
    CTWING = "ctwing"
    IOTDA = "iotda"


class Authentication(StrEnum):
    """What vouches for the sender. CLAIMED: only its source network does (plain CoAP). PUSHER: a platform's product, to
    which the device is bound. The other two are products that may speak for devices which are bound to none."""

    CLAIMED = "claimed"
    OSCORE = "oscore"
    DTLS = "dtls"
    MQTT = "mqtt"
    PUSHER = "pusher"
    FIRST_PUSHER = "first_pusher"
    UNBOUND_PUSHER = "unbound_pusher"


WEAK = frozenset({Authentication.CLAIMED, Authentication.FIRST_PUSHER, Authentication.UNBOUND_PUSHER})
"""Nothing ties such a sender to the device for certain."""


class ContentFormat(IntEnum):
    """What a report's payload is: CoAP Content-Formats (IANA CoRE parameters) of what devices post themselves, and
    numbers of the range for experiments (65000 and above, RFC 7252 section 12.3) for what comes by other doors."""

    OCTET_STREAM = 42
    JSON = 50
    CBOR = 60
    LWM2M = 65_100
    """CBOR ``[[path, content format, payload], …]``: what an LwM2M client notified, sent or answered, one item a path;
    payloads are the client's own bytes."""
    CTWING = 65_110
    """A CTWing AEP push as it was posted (JSON, UTF-8)."""
    OCEANCONNECT = 65_111
    """A Huawei OceanConnect push as it was posted."""
    IOTDA = 65_112
    """A Huawei IoTDA push as it was posted."""
    WIRED_MBUS = 65_120
    """An EN 13757-2 long frame."""
    WIRELESS_MBUS = 65_121
    """An EN 13757-4 telegram without CRCs."""


class ReadingKind(IntEnum):
    """Why the meter stored the reading. The value is what the database holds."""

    HOURLY = 0
    FREEZE = 1
    EVENT = 2


class Outcome(StrEnum):
    """How a report ended. Every received report ends in exactly one of these."""

    STORED = "stored"
    PARTIAL = "partial"
    DUPLICATE = "duplicate"
    DEAD_LETTERED = "dead_lettered"


class Quality(StrEnum):
    """How a consumption value came about."""

    MEASURED = "measured"
    INTERPOLATED = "interpolated"
    ESTIMATED = "estimated"
    EDITED = "edited"


class Valve(IntEnum):
    OPEN = 0
    CLOSED = 1
    FAULT = 2


class DeviceState(NamedTuple):
    """What a report says of the device itself. None: the report did not say."""

    battery_mv: int | None = None
    rsrp_ddbm: int | None = None
    snr_ddb: int | None = None
    ecl: int | None = None
    cell_id: int | None = None
    temperature_dc: int | None = None
    pressure_kpa: int | None = None
    valve: Valve | None = None
    alarms: int = 0
    """Bits of `metering.alarms.Alarm`."""
    device_time_s: int | None = None
    """Unix seconds by the device's own clock when it sent."""


class DecodedReport(NamedTuple):
    """One report as a decoder returns it: device state and zero or more readings, in the order the frame has them."""

    state: DeviceState
    ts_s: Sequence[int]
    """Unix seconds of each reading, UTC. Empty when the frame has no usable time: see `untimed_index_ml`."""
    index_ml: Sequence[int]
    """Cumulative index of each reading; as long as `ts_s`."""
    kind: ReadingKind = ReadingKind.HOURLY
    seq: int | None = None
    """The device's own report counter."""
    untimed_index_ml: int | None = None
    """Current index of a frame whose clock is missing or implausible: it is valid at the receive time."""
    meter_address: str | None = None
    """The meter number the frame itself names, digits as printed; None when the format carries none."""
    extra: Mapping[str, Any] = MappingProxyType({})
    """Fields the platform keeps and shows but does not interpret."""
