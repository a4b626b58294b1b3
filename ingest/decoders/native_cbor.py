"""nbwater's own report as CBOR, Content-Format 60 (PROTOCOLS G): one map with small integer keys.

No field needs a CBOR tag: see `plain_cbor` for what is refused.
"""

from __future__ import annotations

from metering.errors import DecodeError
from metering.model import DecodedReport

from . import native_fields, plain_cbor
from .contract import Decoder, anything


def decode(payload: bytes, received_at_s: int) -> DecodedReport:
    """The report. Raises DecodeError: [cbor] for what is no such map, else as `native_fields` says."""
    fields = plain_cbor.load(payload)
    if type(fields) is not dict:
        raise DecodeError("cbor", "the report is not a map")
    return native_fields.report(fields, received_at_s)


DECODER = Decoder("native_cbor", anything, decode)
