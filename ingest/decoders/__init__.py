"""One file per payload format, its test vectors beside it.

A new format is one file, one line in `DECODERS` and at least three vectors: a normal one, an edge and a malformed one.
"""

from __future__ import annotations

from metering.errors import DecodeError
from metering.model import ContentFormat, DecodedReport

from . import cjt188, cjt188_vendor, native_cbor, native_json
from .contract import Decoder

DECODERS: dict[int, tuple[Decoder, ...]] = {
    ContentFormat.CBOR: (native_cbor.DECODER,),
    ContentFormat.JSON: (native_json.DECODER,),
    ContentFormat.OCTET_STREAM: (cjt188_vendor.DECODER, cjt188.DECODER),
}
"""Which decoders a Content-Format may mean; the first that recognises the payload reads it."""


def decode(content_format: int, payload: bytes, received_at_s: int) -> tuple[str, DecodedReport]:
    """The name of the decoder that read the payload, and what it says.

    Pure; `received_at_s` (Unix seconds) only judges whether a meter's clock can be right. Raises DecodeError, never
    anything else, for whatever bytes.
    """
    for decoder in DECODERS.get(content_format, ()):
        if decoder.recognises(payload):
            return decoder.name, decoder.decode(payload, received_at_s)
    if content_format in DECODERS:
        raise DecodeError("unrecognised", f"no decoder of Content-Format {content_format} knows these bytes")
    raise DecodeError("content_format", f"no decoder for Content-Format {content_format}")
