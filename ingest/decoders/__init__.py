"""One file per payload format, its test vectors beside it.

A new format is one file, one line in `table` and at least three vectors: a normal one, an edge and a malformed one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from metering.errors import DecodeError
from metering.model import ContentFormat

from . import cjt188, cjt188_status, cjt188_vendor, lwm2m, mbus, modem_marker, native_cbor, native_json
from .contract import Decoder, Read
from .lwm2m.interval_data import ByteOrder
from .push import ctwing, huawei

Table = Mapping[int, tuple[Decoder, ...]]
"""Which decoders a Content-Format may mean; the first that recognises the payload reads it."""


class Dialects(NamedTuple):
    """What a utility's settings add to the decoders."""

    mappings: Mapping[int, Sequence[Decoder]] = MappingProxyType({})
    """Decoders described by files, by Content-Format; they come before all others."""
    interval_byte_order: ByteOrder = "big"
    flow_unit_ml: int | None = None
    cjt188_profiles: Mapping[str, cjt188_status.Profile] = MappingProxyType({})
    """How status bytes are read, by the maker's code; beside `cjt188_status.BY_MAKER`."""
    mbus_keys: Mapping[str, bytes] = MappingProxyType({})
    """AES keys of wireless M-Bus meters: see `mbus.wireless`."""


class Decoders:
    """The decoders in force. Pure and immutable."""

    def __init__(self, dialects: Dialects | None = None) -> None:
        self._dialects = dialects = dialects or Dialects()
        own = plain_table(dialects)
        self._plain = _with_mappings(own, dialects)
        self._table = _with_mappings({**own, **self._carriers(dialects)}, dialects)

    def preceded_by(self, mappings: Mapping[int, Sequence[Decoder]]) -> Decoders:
        """The same with further mappings, which come first."""
        known = self._dialects.mappings
        both = {
            number: (*mappings.get(number, ()), *known.get(number, ())) for number in known.keys() | mappings.keys()
        }
        return Decoders(self._dialects._replace(mappings=both))

    @property
    def table(self) -> Table:
        return self._table

    def decode(self, content_format: int, payload: bytes, received_at_s: int) -> Read:
        """The name of the decoder that read the payload, and what it says.

        Pure; `received_at_s` (Unix seconds) only judges whether a meter's clock can be right. Raises DecodeError, never
        anything else, for whatever bytes.
        """
        return _decode(self._table, content_format, payload, received_at_s)

    def decode_inner(self, payload: bytes, received_at_s: int) -> Read:
        """As `decode` for a meter's own frame that came inside another format, which does not say what it is.

        Formats that carry frames are not looked for within one another.
        """
        return _decode(self._plain, _content_format_of(payload), payload, received_at_s)

    def _carriers(self, dialects: Dialects) -> Table:
        inner = self.decode_inner
        return {
            ContentFormat.LWM2M: (lwm2m.decoder(inner, dialects.interval_byte_order, dialects.flow_unit_ml),),
            ContentFormat.CTWING: (ctwing.decoder(inner),),
            ContentFormat.OCEANCONNECT: (huawei.oceanconnect(inner),),
            ContentFormat.IOTDA: (huawei.iotda(inner),),
        }


def plain_table(dialects: Dialects) -> Table:
    """The formats of meters themselves."""
    telegram = mbus.wireless(dialects.mbus_keys)
    status = {**cjt188_status.BY_MAKER, **dialects.cjt188_profiles}
    return {
        ContentFormat.CBOR: (native_cbor.DECODER,),
        ContentFormat.JSON: (native_json.DECODER,),
        ContentFormat.OCTET_STREAM: (
            cjt188_vendor.DECODER, mbus.WIRED, telegram, modem_marker.DECODER, cjt188.decoder(status),
        ),
        ContentFormat.WIRED_MBUS: (mbus.WIRED,),
        ContentFormat.WIRELESS_MBUS: (telegram,),
    }  # fmt: skip


def _with_mappings(table: Table, dialects: Dialects) -> Table:
    formats = table.keys() | dialects.mappings.keys()
    return {number: (*dialects.mappings.get(number, ()), *table.get(number, ())) for number in formats}


def _decode(table: Table, content_format: int, payload: bytes, received_at_s: int) -> Read:
    for decoder in table.get(content_format, ()):
        if decoder.recognises(payload):
            return decoder.name, decoder.decode(payload, received_at_s)
    if content_format in table:
        raise DecodeError("unrecognised", f"no decoder of Content-Format {content_format} knows these bytes")
    raise DecodeError("content_format", f"no decoder for Content-Format {content_format}")


def _content_format_of(payload: bytes) -> int:
    """What a frame looks like: a JSON object, a CBOR map (no frame of a meter begins so), else octets."""
    if payload[:1] and 0xA0 <= payload[0] <= 0xBF:
        return ContentFormat.CBOR
    return ContentFormat.JSON if payload.lstrip()[:1] == b"{" else ContentFormat.OCTET_STREAM


STANDARD = Decoders()
"""Those of a platform without dialects of its own."""

decode = STANDARD.decode
