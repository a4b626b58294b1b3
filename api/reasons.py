"""What a person gives as the reason of a decision. Pure."""

from __future__ import annotations

from metering.errors import RequestError

MAX_REASON_CHARACTERS = 500


def checked_reason(reason: str, missing: str = "") -> str:
    """The reason, trimmed. Raises RequestError when it is too long or not text, and with the words `missing`, where
    there are any, when there is none."""
    text = reason.strip()
    if missing and not text:
        raise RequestError(missing)
    if len(text) > MAX_REASON_CHARACTERS:
        raise RequestError(f"a reason is limited to {MAX_REASON_CHARACTERS} characters")
    if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
        raise RequestError("the reason holds characters that are not text")
    return text
