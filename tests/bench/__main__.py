"""``make bench``: measure, write build/bench.json and build/bench.md, print the table.

``--compare OLD.json`` adds the earlier figure and the change. ``--only front_door`` measures one section. Where
NBWATER_DATABASE_URL is set (TimescaleDB, say), the platform and the writer are measured on that database.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.bench import end_to_end, front_door, writer

BUILD = Path("build")
Sections = dict[str, dict[str, Any]]


def _progress(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


MEASURES: dict[str, Callable[[], Sections]] = {
    "front_door": lambda: {"front_door": front_door.measure(_progress)},
    "writer": lambda: {"writer": writer.measure(_progress)},
    "end_to_end": lambda: end_to_end.measure(_progress, {}),
}


def table(sections: Sections, earlier: Sections | None) -> str:
    """Markdown, a row per figure."""
    lines = [
        "| figure | value |" + (" earlier | change |" if earlier else ""),
        "| --- | ---: |" + (" ---: | ---: |" if earlier else ""),
    ]
    for section, figures in sections.items():
        for name, value in figures.items():
            row = f"| {section}.{name} | {_shown(value)} |"
            if earlier:
                before = earlier.get(section, {}).get(name)
                row += f" {_shown(before)} | {_change(before, value)} |"
            lines.append(row)
    return "\n".join(lines) + "\n"


def _shown(value: Any) -> str:
    return f"{value:,.2f}" if isinstance(value, float) else f"{value}" if value is not None else "–"


def _change(before: Any, now: Any) -> str:
    if isinstance(before, int | float) and isinstance(now, int | float) and before:
        return f"{(now / before - 1) * 100:+.0f} %"
    return "–"


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--only", choices=MEASURES, action="append", help="measure this section only")
    parser.add_argument("--compare", type=Path, help="an earlier bench.json")
    chosen = parser.parse_args()
    sections: Sections = {
        "machine": {"cores": os.cpu_count(), "python": platform.python_version(), "system": platform.machine()}
    }
    for name in chosen.only or MEASURES:
        sections.update(MEASURES[name]())
    earlier = json.loads(chosen.compare.read_text()) if chosen.compare else None
    BUILD.mkdir(exist_ok=True)
    text = table(sections, earlier)
    (BUILD / "bench.json").write_text(json.dumps(sections, indent=2) + "\n")
    (BUILD / "bench.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
