"""What a push says, as far as the gateway must know: whose it is, and which command it answers. Pure.

What the meter measured is not looked at; ingest decodes the text as it was posted.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from enum import StrEnum
from typing import Any, NamedTuple

MAX_NAME_CHARACTERS = 128
MAX_MESSAGES = 256
"""Of one push that is an array, which has at most 64 KiB: no platform's message is as short as 256 bytes. What follows
them is one more message, which nobody can place."""

_NOTHING = frozenset({"", "undefined", "null", "none"})
_decoder = json.JSONDecoder()


class Kind(StrEnum):
    DATA = "data"
    """Something of the meter itself, or nobody can tell what: kept whoever it is of."""
    PRESENCE = "presence"
    """The platform's own remark about a device: online, offline, added."""
    COMMAND = "command"
    """How a command of ours fares."""


class CommandNews(NamedTuple):
    """`status`: a word of PLATFORM_STATES, or one that only this platform knows, in small letters."""

    platform_command_id: str
    status: str
    detail: str


class Message(NamedTuple):
    """`names`: what the device may be called in the registry, the likeliest first. `platform_id` and
    `platform_product`: what the platform calls it; empty where it does not say. `text`: as posted."""

    kind: Kind
    names: tuple[str, ...]
    platform_id: str
    platform_product: str
    text: bytes
    news: CommandNews | None = None


def unplaceable(text: bytes) -> Message:
    """A message that cannot be read. It still is one: its pusher is known."""
    return Message(Kind.DATA, (), "", "", text)


def split(body: bytes) -> Iterator[tuple[dict[str, Any] | None, bytes]]:
    """The objects of a push, each with its own text as posted; None for what is no JSON object.

    A push is one object, or an array of them. Never raises, whatever the bytes are.
    """
    try:
        text = body.decode("utf-8-sig")
        value = json.loads(text)
    except (ValueError, RecursionError):
        yield None, body
        return
    if not isinstance(value, list) or not value:
        yield (value if isinstance(value, dict) else None), body
        return
    yield from _elements(text, value)


def _elements(text: str, values: list[Any]) -> Iterator[tuple[dict[str, Any] | None, bytes]]:
    """Elements of an array that is known to be valid, cut out of its text: numbers stay as they were written."""
    at = text.index("[") + 1
    for value in values[:MAX_MESSAGES]:
        at = _skip_space(text, at)
        _, end = _decoder.raw_decode(text, at)
        yield (value if isinstance(value, dict) else None), text[at:end].encode()
        at = _skip_space(text, end) + 1  # the comma, or the closing bracket
    if len(values) > MAX_MESSAGES:
        yield None, text[at:].encode()


def _skip_space(text: str, at: int) -> int:
    while text[at] in " \t\r\n":
        at += 1
    return at


def name_of(value: object) -> str:
    """A name in a message, or empty when that is none."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        return ""
    if isinstance(value, int) and value.bit_length() > 128:
        return ""
    name = str(value).strip()
    if len(name) > MAX_NAME_CHARACTERS or name.lower() in _NOTHING or not name.isprintable():
        return ""
    return name.encode("utf-8", "replace").decode()


def names_of(values: Iterable[object]) -> tuple[str, ...]:
    """The names among these, each once."""
    return tuple(dict.fromkeys(name for name in map(name_of, values) if name))


def object_of(value: object) -> dict[str, Any]:
    """The object, or an empty one in place of anything else."""
    return value if isinstance(value, dict) else {}


def news_of(platform_command_id: object, status: object, detail: object) -> CommandNews | None:
    """None when the message names no command or no state."""
    number, word = name_of(platform_command_id), name_of(status)
    if not number or not word:
        return None
    said = detail if isinstance(detail, str) else "" if detail is None else json.dumps(detail, ensure_ascii=False)
    return CommandNews(number, word.lower(), said[:200].encode("utf-8", "replace").decode())
