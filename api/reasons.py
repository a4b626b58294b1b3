"""What a person gives as the reason of a decision. Pure."""

from __future__ import annotations

import re

from metering.errors import RequestError

MAX_REASON_CHARACTERS = 500
_NO_TEXT = re.compile("[\0-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff\u202a-\u202e\u2066-\u2069]")
"""Controls, halves of characters, and what turns the direction of the words beside it: a reason says what it shows."""
MAX_ENDING_REASON_CHARACTERS = 200
"""Of why a key or a binding ends."""


def checked_reason(reason: str, missing: str = "") -> str:
    """The reason, trimmed. Raises RequestError when it is too long or not text, and with the words `missing`, where
    there are any, when there is none."""
    text = reason.strip()
    if missing and not text:
        raise RequestError(missing)
    if len(text) > MAX_REASON_CHARACTERS:
        raise RequestError(f"a reason is limited to {MAX_REASON_CHARACTERS} characters")
    if _NO_TEXT.search(text):
        raise RequestError("the reason holds characters that are not text")
    return text


def ending_reason(reason: str) -> str:
    """Why a key or a binding ends, trimmed. Raises RequestError."""
    text = reason.strip()
    if not text or len(text) > MAX_ENDING_REASON_CHARACTERS or not text.isprintable():
        raise RequestError(f"give a reason of 1 to {MAX_ENDING_REASON_CHARACTERS} printable characters")
    return text
