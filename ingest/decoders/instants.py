"""Instants as platforms and profiles write them, as Unix seconds. Without a zone they are China's."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from metering.model import AHEAD_S, EARLIEST_S

from .quantities import decimal

CHINA = timezone(timedelta(hours=8))
"""Clocks of Chinese meters show Beijing time, which has had no summer time since 1991."""

FIRST_MS = 100_000_000_000
"""Numbers from here on are milliseconds: as seconds they lie after the year 5000."""

_TEXT = re.compile(
    r"(\d{4})[-/]?(\d{2})[-/]?(\d{2})(?:[T ]?(\d{2}):?(\d{2})(?::?(\d{2}))?(?:[.,]\d{1,9})?)?\s?(Z|[+-]\d{2}:?\d{2})?"
)


def unix_s(value: Any, zone: timezone = CHINA) -> int | None:
    """Seconds of a number (seconds, or milliseconds from 10^11) or of a text: ISO 8601, with or without punctuation,
    ``yyyy-MM-dd HH:mm:ss``, ``yyyyMMddTHHmmssZ``, in `zone` where it names none. None for anything else."""
    number = decimal(value) if not isinstance(value, str) or value.strip().isdigit() else None
    if isinstance(value, str) and len(value.strip()) in (8, 14):
        number = None
    if number is not None:
        return int(number // 1000 if number >= FIRST_MS else number // 1)
    match = _TEXT.fullmatch(value.strip()[:40]) if isinstance(value, str) else None
    return None if match is None else _of(match, zone)


def _of(match: re.Match[str], zone: timezone) -> int | None:
    year, month, day, hour, minute, second = (int(part or 0) for part in match.groups()[:6])
    try:
        local = datetime(year, month, day, hour, minute, second, tzinfo=_zone(match[7], zone))
        return int(local.timestamp())
    except (ValueError, OverflowError):
        return None


def _zone(text: str | None, zone: timezone) -> timezone:
    if text is None:
        return zone
    if text == "Z":
        return UTC
    digits = text[1:].replace(":", "")
    ahead = timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
    return timezone(-ahead if text[0] == "-" else ahead)


def plausible_s(value: Any, received_at_s: int, zone: timezone = CHINA) -> int | None:
    """As `unix_s`; None also for what lies before 2010 or more than a day after the receipt."""
    seconds = unix_s(value, zone)
    return seconds if seconds is not None and EARLIEST_S <= seconds <= received_at_s + AHEAD_S else None
