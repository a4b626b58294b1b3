"""One section as a process of its own: ``python -m tests.bench.section NAME FILE LEFT_S [--quick]`` writes to FILE."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from tests.bench import curves
from tests.bench.plan import SECTIONS

DRAWN = {"growth": curves.growth}
"""Curves of sections that draw none themselves."""


def progress(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    name, file, left_s = sys.argv[1:4]
    found = SECTIONS[name].measured(name, progress, "--quick" in sys.argv, float(left_s), os.environ)
    Path(file).write_text(json.dumps(found))
    if name in DRAWN:
        DRAWN[name](found[name])
