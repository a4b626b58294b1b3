"""What the parts of the benchmark hand over."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Progress = Callable[[str], None]
"""Takes a line that says what was just measured."""

Sections = dict[str, dict[str, Any]]
"""Section → figure → value, as in bench.json."""
