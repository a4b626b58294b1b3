"""Sentences that arise in English far from any page, in Chinese: by patterns, whose named parts stay what they are."""

from __future__ import annotations

import re

from api.pages.texts import TEXTS

Phrases = tuple[tuple[str, str], ...]
"""What it is in English, as a pattern for all of it, and in Chinese with the parts named there. The first that fits."""

WORDS = {
    "role": "frame.role",
    "alert_state": "alerts.state",
    "alert_kind": "alerts.kind",
    "command": "commands.kind",
    "command_state": "commands.state",
    "argument": "commands.argument",
    "campaign_state": "campaigns.state",
    "update_result": "commands.update_result",
}
"""Parts that are stored values, and the group of texts that has their words."""


def in_chinese(said: str, phrases: Phrases) -> str:
    """What was said where nobody gave its Chinese."""
    for english, chinese in phrases:
        if found := re.fullmatch(english, said, re.DOTALL):
            return chinese.format(**{name: _worded(name, part) for name, part in found.groupdict().items()})
    return said


def _worded(name: str, part: str) -> str:
    text = TEXTS.get(f"{WORDS[name]}.{part}") if name in WORDS else None
    return part if text is None else text.zh
