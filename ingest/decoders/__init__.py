"""One file per payload format, its test vectors beside it.

A new format is one file, one line in `plain_table` or `_carriers`, and at least three vectors: a normal one, an edge
and a malformed one.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from metering.errors import DecodeError
from metering.model import ContentFormat

from . import cjt188, cjt188_status, cjt188_vendor, lwm2m, mbus, modem_marker, native_cbor, native_json
from .contract import Decoder, Inner, Read
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


class Formats:
    """One table of decoders."""

    def __init__(self, table: Table) -> None:
        self.table = table

    def decode(self, content_format: int, payload: bytes, received_at_s: int) -> Read:
        """The name of the decoder that read the payload, and what it says.

        Pure; `received_at_s` (Unix seconds) only judges whether a meter's clock can be right. Raises DecodeError, never
        anything else, for whatever bytes.
        """
        for decoder in self.table.get(content_format, ()):
            if decoder.recognises(payload):
                return decoder.name, decoder.decode(payload, received_at_s)
        if content_format in self.table:
            raise DecodeError("unrecognised", f"no decoder of Content-Format {content_format} knows these bytes")
        raise DecodeError("content_format", f"no decoder for Content-Format {content_format}")

    def decode_frame(self, payload: bytes, received_at_s: int) -> Read:
        """As `decode` for a frame that came inside another format, which does not say what it is."""
        if _begins_cbor_map(payload):  # a module's header may begin so, too
            try:
                return self.decode(ContentFormat.CBOR, payload, received_at_s)
            except DecodeError:
                with contextlib.suppress(DecodeError):
                    return self.decode(ContentFormat.OCTET_STREAM, payload, received_at_s)
                raise
        is_object = payload.lstrip()[:1] == b"{"
        return self.decode(ContentFormat.JSON if is_object else ContentFormat.OCTET_STREAM, payload, received_at_s)


class Decoders(Formats):
    """The decoders in force: the formats of meters, and those that carry such frames. Immutable.

    Formats that carry frames are not looked for within one another.
    """

    def __init__(self, dialects: Dialects | None = None) -> None:
        self._dialects = dialects = dialects or Dialects()
        own = plain_table(dialects)
        self.decode_inner = Formats(_with_mappings(own, dialects)).decode_frame
        super().__init__(_with_mappings({**own, **_carriers(dialects, self.decode_inner)}, dialects))

    def decode(self, content_format: int, payload: bytes, received_at_s: int) -> Read:
        """As of `Formats`. "Octet stream" says nothing of what the bytes are, and modules of the older direct CoAP can
        say nothing else: what is no frame of a meter may still be nbwater's own report."""
        try:
            return super().decode(content_format, payload, received_at_s)
        except DecodeError:
            if content_format == ContentFormat.OCTET_STREAM and _may_be_own_report(payload):
                with contextlib.suppress(DecodeError):
                    return self.decode_inner(payload, received_at_s)
            raise

    def preceded_by(self, mappings: Mapping[int, Sequence[Decoder]]) -> Decoders:
        """The same with further mappings, which come first."""
        known = self._dialects.mappings
        both = {
            number: (*mappings.get(number, ()), *known.get(number, ())) for number in known.keys() | mappings.keys()
        }
        return Decoders(self._dialects._replace(mappings=both))


def _begins_cbor_map(payload: bytes) -> bool:
    return bool(payload) and 0xA0 <= payload[0] <= 0xBF  # RFC 8949 section 3.1: major type 5


def _may_be_own_report(payload: bytes) -> bool:
    return _begins_cbor_map(payload) or payload[:1] == b"{"


def _carriers(dialects: Dialects, inner: Inner) -> Table:
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


STANDARD = Decoders()
"""Those of a platform without dialects of its own."""

decode = STANDARD.decode
