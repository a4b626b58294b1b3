"""Runs a section so that nothing it does can end the benchmark: as a process, with a limit of time."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
import time
from pathlib import Path

from tests.bench.plan import SECTIONS
from tests.bench.processes import python
from tests.bench.sections import Progress, Sections

END_S = 90
"""A section that is told to end stops its platform first."""


def run_section(name: str, quick: bool, left_s: float, progress: Progress) -> tuple[Sections, str]:
    """What it found, and why it failed or was not measured (empty: it was)."""
    section = SECTIONS[name]
    if left_s < section.usual_s and not quick:
        return {}, f"not measured: {left_s:.0f} s are left, it takes {section.usual_s:.0f} s"
    began = time.monotonic()
    progress(f"== {name}")
    with tempfile.TemporaryDirectory(prefix="nbwater-bench-") as folder:
        file = Path(folder) / "section.json"
        command = python("tests.bench.section", name, str(file), str(left_s), *(["--quick"] if quick else []))
        with subprocess.Popen(command, start_new_session=True) as child:
            try:
                child.wait(section.limit_s)
            except subprocess.TimeoutExpired:
                end(child)
                return {}, f"not done after {section.limit_s:.0f} s"
            except BaseException:
                end(child)
                raise
        if child.returncode != 0 or not file.exists():
            return {}, f"ended with exit code {child.returncode}; the reason is above"
        found: Sections = json.loads(file.read_text())
    found[name]["seconds_taken"] = time.monotonic() - began
    return found, ""


def end(child: subprocess.Popen[bytes]) -> None:
    """As Ctrl-C would, so that databases are dropped and processes ended; then for certain."""
    child.send_signal(signal.SIGINT)
    try:
        child.wait(END_S)
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()
