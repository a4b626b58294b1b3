"""What `make bench` measures, in which order, and how long each part may take."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module

from tests.bench.sections import Progress, Sections

MINUTES = 45
"""The whole benchmark: sections for which no time is left are not measured, and that is said."""


@dataclass(frozen=True, slots=True)
class Section:
    """`module.measure(progress)` gives its figures; `limit_s`: it is ended after that."""

    module: str
    limit_s: float
    usual_s: float
    """What it takes; with less time than that left it is not begun."""
    many: bool = False
    """`measure` gives sections rather than the figures of one."""
    variable: str = ""
    """Measured only where this is set; `measure` is given its value as `server_url`."""

    def measured(self, name: str, progress: Progress, quick: bool, environment: Mapping[str, str]) -> Sections:
        measure = import_module(self.module).measure
        options = {"quick": quick} if "quick" in inspect.signature(measure).parameters else {}
        if self.variable:
            options["server_url"] = environment[self.variable]
        found = measure(progress, **options)
        return found if self.many else {name: found}


SECTIONS = {
    "front_door": Section("tests.bench.front_door", limit_s=240, usual_s=75),
    "custody": Section("tests.bench.custody", limit_s=420, usual_s=150),
    "end_to_end": Section("tests.bench.end_to_end", limit_s=1_500, usual_s=700, many=True),
    "catch_up": Section("tests.bench.catch_up", limit_s=600, usual_s=180),
    "midnight": Section("tests.bench.midnight", limit_s=600, usual_s=240),
    "writer": Section("tests.bench.writer", limit_s=300, usual_s=60),
}


def chosen(only: Sequence[str] | None, environment: Mapping[str, str]) -> list[str]:
    """Names in order; those whose variable is not set are left out unless they are asked for."""
    return [
        name
        for name, section in SECTIONS.items()
        if (name in only if only else not section.variable or environment.get(section.variable))
    ]
