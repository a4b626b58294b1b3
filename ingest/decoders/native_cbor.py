"""nbwater's own report as CBOR, Content-Format 60 (PROTOCOLS G): one map with small integer keys.

No field needs a CBOR tag, and tags are how small input becomes large or cyclic (shared references, big exponents):
they are refused, as are duplicate keys and deep nesting.
"""

from __future__ import annotations

from typing import Any, NoReturn

import cbor2

from metering.errors import DecodeError
from metering.model import DecodedReport

from . import native_fields
from .contract import Decoder, anything

MAX_DEPTH = 8


def _refuse(*_: Any) -> NoReturn:
    raise DecodeError("cbor", "CBOR tags are not part of the report")


class _NoTags(dict[int, Any]):
    """Answers every tag number, known to the CBOR library or not, with a refusal."""

    def __missing__(self, tag: int) -> Any:
        return _refuse


_NO_TAGS = _NoTags()


def decode(payload: bytes, received_at_s: int) -> DecodedReport:
    """The report. Raises DecodeError: [cbor] for what is no such map, else as `native_fields` says."""
    try:
        fields = cbor2.loads(
            payload, max_depth=MAX_DEPTH, allow_duplicate_keys=False, semantic_decoders=_NO_TAGS, tag_hook=_refuse
        )
    except Exception as error:
        raise DecodeError("cbor", f"not CBOR of ours: {str(error)[:200]}") from error
    if type(fields) is not dict:
        raise DecodeError("cbor", "the report is not a map")
    return native_fields.report(fields, received_at_s)


DECODER = Decoder("native_cbor", anything, decode)
