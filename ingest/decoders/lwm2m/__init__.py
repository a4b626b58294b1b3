"""What an LwM2M client notified, sent or answered (PROTOCOLS B), wrapped by the gateway as
CBOR ``[[path, content format, payload], …]``.

An item that cannot be read costs the others nothing: it is kept in ``extra["undecoded"]``. Reasons of refusal: [lwm2m]
the wrapping itself; when no item can be read, that of the first: [path], [tlv], [senml], [json], [cbor],
[too_many_resources], [interval_data], and those of the frames in object 19; [time_range], [index_range] of readings.
"""

from __future__ import annotations

from typing import Final

from metering.errors import DecodeError
from metering.model import DecodedReport

from .. import plain_cbor
from ..contract import Decoder, Inner, anything
from ..native_fields import plain
from . import formats
from .interval_data import ByteOrder
from .report import Gathered, Reading
from .resource import MAX_RESOURCES, Resource, path_of

MAX_ITEMS: Final = 256


def decoder(inner: Inner, byte_order: ByteOrder = "big", flow_unit_ml: int | None = None) -> Decoder:
    """A decoder that gives frames in object 19 to `inner`; the rest as `Reading` says."""

    def decode(payload: bytes, received_at_s: int) -> DecodedReport:
        return _decode(payload, Reading(inner, byte_order, flow_unit_ml, received_at_s))

    return Decoder("lwm2m", anything, decode)


def _decode(payload: bytes, how: Reading) -> DecodedReport:
    items = plain_cbor.load(payload)
    if not isinstance(items, list) or not 0 < len(items) <= MAX_ITEMS:
        raise DecodeError("lwm2m", f"not an array of 1 to {MAX_ITEMS} items")
    gathered = Gathered(how)
    resources: list[Resource] = []
    for item in items:
        if not isinstance(item, list) or len(item) != 3 or not isinstance(item[2], bytes):
            raise DecodeError("lwm2m", "an item is not [path, content format, payload]")
        path, content_format, raw = item
        try:
            resources += formats.read(raw, content_format, path_of(path), how.received_at_s)
        except DecodeError as error:
            gathered.undecoded(str(plain(path))[:64], raw, error)
    if len(resources) > MAX_RESOURCES:
        raise DecodeError("too_many_resources", f"more than {MAX_RESOURCES} resources in one report")
    gathered.add_all(resources)
    return gathered.report()
