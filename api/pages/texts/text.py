"""The type of a text."""

from __future__ import annotations

from typing import NamedTuple


class Text(NamedTuple):
    """The same thing said in both languages, with the same ``{placeholders}``."""

    zh: str
    en: str
