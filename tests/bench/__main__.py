"""``make bench``: measure, write build/bench.json and build/bench.md with curves beside them, print the table.

Each section is a process of its own with a limit of time: one that fails is reported, the others go on, and the exit
code is 1. ``--only front_door`` measures one section, and with ``--keep`` the last run's others stay beside it.
``--quick`` tries everything in seconds (its figures say nothing), ``--compare OLD.json`` adds the earlier figure and
the change. ``--only end_to_end --rate 2000`` prints the CPU microseconds a report of each process at that rate.

Where NBWATER_DATABASE_URL is set (TimescaleDB, say), the platform and the writer are measured on that server, in
databases that are dropped afterwards. Where NBWATER_TEST_TIMESCALE_URL is, end to end is measured there as well.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from pathlib import Path

from tests.bench import end_to_end
from tests.bench.plan import MINUTES, SECTIONS, chosen
from tests.bench.report import add_summaries, table
from tests.bench.runner import run_section
from tests.bench.section import progress
from tests.bench.sections import Sections

BUILD = Path("build")


def main() -> int:
    """The exit code: 1 when a section failed."""
    options = arguments()
    earlier = json.loads(options.compare.read_text()) if options.compare else None
    if options.rate:
        print(table(end_to_end.profile(progress, options.rate, quick=options.quick), earlier, {}))
        return 0
    began = time.monotonic()
    sections: Sections = last_run() if options.keep else {}
    failed: dict[str, str] = sections.pop("failed", {})
    sections["machine"] = machine()
    for name in chosen(options.only, os.environ):
        left_s = MINUTES * 60 - (time.monotonic() - began)
        found, failure = run_section(name, options.quick, left_s, progress)
        sections.update(found)
        failed.pop(name, None)
        add_summaries(sections)
        if failure:
            failed[name] = failure
            progress(f"FAILED: {name}: {failure}")
        sections["machine"]["minutes"] = (time.monotonic() - began) / 60
        write(sections, earlier, failed)  # each time: what is measured is not lost by what comes after it
    print((BUILD / "bench.md").read_text())
    return 1 if failed else 0


def write(sections: Sections, earlier: Sections | None, failed: dict[str, str]) -> None:
    BUILD.mkdir(exist_ok=True)
    (BUILD / "bench.json").write_text(json.dumps(sections | {"failed": failed}, indent=2, ensure_ascii=False) + "\n")
    (BUILD / "bench.md").write_text(table(sections, earlier, failed))


def last_run() -> Sections:
    file = BUILD / "bench.json"
    return json.loads(file.read_text()) if file.exists() else {}


def machine() -> dict[str, object]:
    return {"cores": os.cpu_count(), "python": platform.python_version(), "system": platform.machine()}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--only", choices=SECTIONS, action="append", help="measure this section only")
    parser.add_argument("--keep", action="store_true", help="with --only: the last run's other sections stay")
    parser.add_argument("--quick", action="store_true", help="try it in seconds; the figures say nothing")
    parser.add_argument("--rate", type=float, help="with --only end_to_end: CPU by process at this rate, nothing else")
    parser.add_argument("--compare", type=Path, help="an earlier bench.json")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
