"""Pages of a list by keyset: the cursor names the last row seen, so rows that come or go shift nothing.

A cursor is opaque to clients: base64url of a JSON array whose members have exactly the types its list asks for.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

from metering.errors import RequestError

MAX_LIMIT = 500
MAX_CURSOR_CHARACTERS = 512
INT64_MAX = 2**63 - 1

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """`next_cursor` is None on the last page."""

    items: list[T]
    next_cursor: str | None


def page(rows: Sequence[T], limit: int, key: Callable[[T], Sequence[str | int | datetime]]) -> Page[T]:
    """Cuts `limit` + 1 fetched rows to a page; the extra row only says that there is more."""
    items = list(rows[:limit])
    return Page(items, encode_cursor(key(items[-1])) if len(rows) > limit and items else None)


def encode_cursor(key: Sequence[str | int | datetime]) -> str:
    members = [member.isoformat() if isinstance(member, datetime) else member for member in key]
    return base64.urlsafe_b64encode(json.dumps(members, separators=(",", ":")).encode()).decode().rstrip("=")


def decode_cursor(cursor: str, *types: type) -> list[Any]:
    """The members of a cursor, checked against `types` (str, int or datetime). Raises RequestError."""
    try:
        if len(cursor) > MAX_CURSOR_CHARACTERS:
            raise ValueError("too long")
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        members = json.loads(raw)
        if not isinstance(members, list) or len(members) != len(types):
            raise ValueError("wrong number of members")
        return [_member(member, wanted) for member, wanted in zip(members, types, strict=True)]
    except (ValueError, TypeError, RecursionError, binascii.Error) as error:
        raise RequestError("the cursor is not one this list gave out") from error


def _member(member: object, wanted: type) -> object:
    if wanted is datetime:
        instant = datetime.fromisoformat(str(member))
        return instant if instant.tzinfo else instant.replace(tzinfo=UTC)
    if type(member) is not wanted or (isinstance(member, int) and abs(member) > INT64_MAX):
        raise ValueError("wrong type")
    if isinstance(member, str) and ("\0" in member or not member.isprintable()):
        raise ValueError("not text")
    return member


def check_limit(limit: int) -> int:
    """Raises RequestError unless 1 <= limit <= MAX_LIMIT."""
    if not 1 <= limit <= MAX_LIMIT:
        raise RequestError(f"limit must be between 1 and {MAX_LIMIT}")
    return limit
