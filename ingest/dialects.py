"""The decoders that the settings ask for: mapping files, keys of M-Bus meters, what the standards leave open."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from metering.errors import SettingsError
from metering.settings import IngestSettings

from .decoders import Decoders, Dialects
from .decoders.cjt188_status import PROFILES, Profile
from .decoders.mapping import load_directory

MAX_KEY_LINES: Final = 2_000_000
_KEY_LINE = re.compile(r"([A-Z]{3})?(\d{8})\s+([0-9A-Fa-f]{32})")


def decoders_of(settings: IngestSettings) -> Decoders:
    """Raises SettingsError for files that cannot be used, with file and line, never with a key."""
    return Decoders(
        Dialects(
            mappings=load_directory(Path(settings.mappings)) if settings.mappings else {},
            interval_byte_order="little" if settings.lwm2m_interval_byte_order == "little" else "big",
            flow_unit_ml=settings.lwm2m_flow_unit_ml or None,
            cjt188_profiles=_profiles(settings.cjt188_profiles),
            mbus_keys=_keys(Path(settings.mbus_keys)) if settings.mbus_keys else {},
        )
    )


def _profiles(text: str) -> Mapping[str, Profile]:
    pairs = [[part.strip() for part in pair.split("=")] for pair in text.split(",") if pair.strip()]
    if unknown := sorted({name for _, name in pairs} - set(PROFILES)):
        raise SettingsError(f"ingest.cjt188_profiles: no profile {', '.join(unknown)}; there are {', '.join(PROFILES)}")
    return {code: PROFILES[name] for code, name in pairs}


def _keys(path: Path) -> Mapping[str, bytes]:
    """Lines of ``SEN33225544 00112233445566778899AABBCCDDEEFF``; the maker may be left out, # begins a comment."""
    try:
        lines = path.read_text("ascii").splitlines()
    except UnicodeDecodeError as error:
        raise SettingsError(f"ingest.mbus_keys: {path} is not ASCII") from error
    except OSError as error:
        raise SettingsError(f"ingest.mbus_keys: {path}: {error.strerror or error}") from error
    if len(lines) > MAX_KEY_LINES:
        raise SettingsError(f"ingest.mbus_keys: {path} has more than {MAX_KEY_LINES} lines")
    keys: dict[str, bytes] = {}
    for number, line in enumerate(lines, 1):
        if not (text := line.partition("#")[0].strip()):
            continue
        match = _KEY_LINE.fullmatch(text)
        if match is None:
            raise SettingsError(f"ingest.mbus_keys: {path} line {number} is not a meter's number and 32 hex digits")
        meter = (match[1] or "") + match[2]
        if meter in keys:
            raise SettingsError(f"ingest.mbus_keys: {path} line {number}: meter {meter} has a key already")
        keys[meter] = bytes.fromhex(match[3])
    return keys
