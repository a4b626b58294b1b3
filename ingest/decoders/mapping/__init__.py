"""Decoders described by TOML files: a utility adds a meter's format without Python (docs/doors/decoders.md)."""

from __future__ import annotations

from .decoder import decoder_of
from .load import load_directory, load_file
from .spec import Mapping

__all__ = ["Mapping", "decoder_of", "load_directory", "load_file"]
