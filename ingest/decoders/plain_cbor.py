"""CBOR without what makes small input large or cyclic: no tags (shared references, big exponents), no duplicate keys,
bounded depth."""

from __future__ import annotations

from typing import Any, NoReturn

import cbor2

from metering.errors import DecodeError

MAX_DEPTH = 8


def _refuse(*_: Any) -> NoReturn:
    raise DecodeError("cbor", "CBOR tags are not part of the report")


class _NoTags(dict[int, Any]):
    """Answers every tag number, known to the CBOR library or not, with a refusal."""

    def __missing__(self, tag: int) -> Any:
        return _refuse


_NO_TAGS = _NoTags()


def load(payload: bytes) -> Any:
    """The one item in the payload. Raises DecodeError [cbor]."""
    try:
        return cbor2.loads(
            payload, max_depth=MAX_DEPTH, allow_duplicate_keys=False, semantic_decoders=_NO_TAGS, tag_hook=_refuse
        )
    except Exception as error:
        raise DecodeError("cbor", f"not CBOR of ours: {str(error)[:200]}") from error
