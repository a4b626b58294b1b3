"""All settings as a commented TOML document, which is itself a configuration file."""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from metering.settings import SECTIONS, Section, load

HEADER = """\
# nbwater configuration: every setting with its effective value.
# Order: environment (NBWATER_<SECTION>_<FIELD>) over this file (NBWATER_CONFIG) over defaults.
# Secrets are never printed: their lines are comments.
"""


def render(path: str | None = None) -> str:
    """The document. `path`: the configuration file in use, else NBWATER_CONFIG. Raises SettingsError."""
    path = path or os.environ.get("NBWATER_CONFIG") or None
    sections = [load(section, path) for section in SECTIONS]
    document = tomllib.loads(Path(path).read_text()) if path else {}
    tables = ("\n".join(_table(settings, document.get(settings.table, {}), path)) for settings in sections)
    return "\n".join((HEADER, *tables))


def _table(settings: Section, in_file: dict[str, Any], path: str | None) -> Iterator[str]:
    yield from (f"# {line.strip()}" for line in (type(settings).__doc__ or "").strip().splitlines())
    yield f"[{settings.table}]"
    for name, field in type(settings).model_fields.items():
        variable = f"{settings.model_config.get('env_prefix', '')}{name}".upper()
        yield f"# {field.description} ({variable})"
        yield _line(name, getattr(settings, name), field, _origin(name, variable, in_file, path))
    yield ""


def _origin(name: str, variable: str, in_file: dict[str, Any], path: str | None) -> str:
    if any(key.upper() == variable for key in os.environ):
        return f"from {variable}"
    return f"from {path}" if name in in_file else ""


def _line(name: str, value: Any, field: FieldInfo, origin: str) -> str:
    if isinstance(value, SecretStr):
        if not value.get_secret_value():
            return f'{name} = ""'
        return f'# {name} = "********"  # secret{", " + origin if origin else ""}'
    if origin:
        origin = f"  # {origin}; default {_toml(field.default)}"
    return f"{name} = {_toml(value)}{origin}"


def _toml(value: Any) -> str:
    """A TOML value: its basic strings are JSON strings, but for DEL."""
    if isinstance(value, BaseModel):
        value = value.model_dump()
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_toml(key)} = {_toml(each)}" for key, each in value.items()) + "}"
    if isinstance(value, tuple | list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")
