"""JSON as RFC 8259 has it: no NaN, no Infinity, no name twice in an object, bounded depth."""

from __future__ import annotations

import json
from typing import Any, NoReturn

from metering.errors import DecodeError


def load(payload: bytes | str) -> Any:
    """The document. Raises DecodeError [json]."""
    try:
        return json.loads(payload, parse_constant=_no_constant, object_pairs_hook=_no_duplicates)
    except (ValueError, RecursionError) as error:
        raise DecodeError("json", f"not JSON of ours: {str(error)[:200]}") from error


def load_object(payload: bytes | str) -> dict[str, Any]:
    """The object. Raises DecodeError [json], also for another document than an object."""
    document = load(payload)
    if type(document) is not dict:
        raise DecodeError("json", "the report is not an object")
    return document


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) != len(pairs):
        raise ValueError("a name appears twice")
    return document
