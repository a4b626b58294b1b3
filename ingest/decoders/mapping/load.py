"""Mapping files from a directory, checked one and all before a program serves."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping as Named
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from metering.errors import SettingsError

from ..contract import Decoder
from .decoder import decoder_of
from .spec import Mapping

MAX_FILES: Final = 256
MAX_FILE_BYTES: Final = 262_144


def load_file(path: Path) -> Mapping:
    """The mapping in a file. Raises SettingsError that names the file and each fault in it."""
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise SettingsError(f"mapping {path}: larger than {MAX_FILE_BYTES} bytes")
        document = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise SettingsError(f"mapping {path}: {error.strerror or error}") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"mapping {path}: {error}") from error
    try:
        return Mapping.model_validate(document)
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'file'}: {e['msg']}" for e in error.errors())
        raise SettingsError(f"mapping {path}: {faults}") from error


def load_directory(directory: Path) -> Named[int, tuple[Decoder, ...]]:
    """The decoders of all ``*.toml`` files, in the order of their names, by Content-Format.

    Raises SettingsError: no such directory, more than MAX_FILES, a name twice, and as `load_file`.
    """
    if not directory.is_dir():
        raise SettingsError(f"mappings: no directory {directory}")
    paths = sorted(directory.glob("*.toml"))
    if len(paths) > MAX_FILES:
        raise SettingsError(f"mappings: more than {MAX_FILES} files in {directory}")
    found: dict[int, tuple[Decoder, ...]] = {}
    names: dict[str, Path] = {}
    for path in paths:
        mapping = load_file(path)
        if mapping.name in names:
            raise SettingsError(f"mapping {path}: the name {mapping.name} is that of {names[mapping.name]}, too")
        names[mapping.name] = path
        number = int(mapping.content_format)
        found[number] = (*found.get(number, ()), decoder_of(mapping))
    return found
