"""nbwater's own report as JSON, Content-Format 50 (PROTOCOLS G): the CBOR map with names instead of numbers."""

from __future__ import annotations

import json
from typing import Any, NoReturn

from metering.errors import DecodeError
from metering.model import DecodedReport

from . import native_fields
from .contract import Decoder, anything

_KEYS = {name: key for key, name in enumerate(native_fields.NAMES)}


def decode(payload: bytes, received_at_s: int) -> DecodedReport:
    """The report. Raises DecodeError: [json] for what is no such object, else as `native_fields` says."""
    try:
        document = json.loads(payload, parse_constant=_no_constant, object_pairs_hook=_no_duplicates)
    except (ValueError, RecursionError) as error:
        raise DecodeError("json", f"not JSON of ours: {str(error)[:200]}") from error
    if type(document) is not dict:
        raise DecodeError("json", "the report is not an object")
    return native_fields.report({_KEYS.get(name, name): value for name, value in document.items()}, received_at_s)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) != len(pairs):
        raise ValueError("a name appears twice")
    return document


DECODER = Decoder("native_json", anything, decode)
