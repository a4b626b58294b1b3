"""nbwater's own report as JSON, Content-Format 50 (PROTOCOLS G): the CBOR map with names instead of numbers."""

from __future__ import annotations

from metering.model import DecodedReport

from . import native_fields, plain_json
from .contract import Decoder, anything

_KEYS = {name: key for key, name in enumerate(native_fields.NAMES)}


def decode(payload: bytes, received_at_s: int) -> DecodedReport:
    """The report. Raises DecodeError: [json] for what is no such object, else as `native_fields` says."""
    document = plain_json.load_object(payload)
    return native_fields.report({_KEYS.get(name, name): value for name, value in document.items()}, received_at_s)


DECODER = Decoder("native_json", anything, decode)
