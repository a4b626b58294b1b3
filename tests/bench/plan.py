"""What `make bench` measures, in which order, and how long each part may take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from tests.bench.sections import Progress, Sections

MINUTES = 100
"""The whole benchmark: sections for which no time is left are not measured, and that is said."""

OVERHEAD_S = 60.0
"""What a section that is shortened takes beside its minutes."""


@dataclass(frozen=True, slots=True)
class Section:
    """`function(progress)` of the module gives its figures; `limit_s`: it is ended after that."""

    module: str
    limit_s: float
    usual_s: float
    """What it takes; with less time than that left it is not begun."""
    many: bool = False
    """It gives sections rather than the figures of one."""
    variable: str = ""
    """Measured only where this is set; it is given its value as `server_url`."""
    function: str = "measure"
    options: Mapping[str, Any] = field(default_factory=dict)
    quick: Mapping[str, Any] = field(default_factory=lambda: {"quick": True})
    """Its options, and those that differ when it is quick."""
    stretches: str = ""
    """The option that says for how many minutes it measures: shortened to the time that is left."""

    def measured(
        self, name: str, progress: Progress, quick: bool, left_s: float, environment: Mapping[str, str]
    ) -> Sections:
        options = dict(self.options) | (self.quick if quick else {})
        if self.stretches:
            options[self.stretches] = min(options[self.stretches], (left_s - OVERHEAD_S) / 60)
        if self.variable:
            options["server_url"] = environment[self.variable]
        found = getattr(import_module(self.module), self.function)(progress, **options)
        return found if self.many else {name: found}


SECTIONS = {
    "front_door": Section("tests.bench.front_door", limit_s=240, usual_s=75),
    "custody": Section("tests.bench.custody", limit_s=600, usual_s=220),
    "custody_oscore": Section("tests.bench.custody_oscore", limit_s=480, usual_s=150),
    "doors": Section("tests.bench.doors", limit_s=420, usual_s=150),
    "push": Section("tests.bench.push", limit_s=180, usual_s=60),
    "stranger": Section("tests.bench.stranger", limit_s=240, usual_s=90),
    "mqtt": Section("tests.bench.mqtt_door", limit_s=180, usual_s=60),
    "mqtt_broker": Section("tests.bench.mqtt_broker", limit_s=180, usual_s=60),
    "end_to_end": Section("tests.bench.end_to_end", limit_s=1_500, usual_s=720, many=True),
    "writer": Section("tests.bench.writer", limit_s=300, usual_s=60, quick={}),
    "catch_up": Section("tests.bench.catch_up", limit_s=600, usual_s=180),
    "midnight": Section("tests.bench.midnight", limit_s=600, usual_s=200),
    "growth_gateway": Section("tests.bench.gateway_growth", limit_s=300, usual_s=60, quick={"entries": 20_000}),
    "compression": Section("tests.bench.compression", limit_s=1_500, usual_s=600, quick={"scale": 0.01}),
    "meter_page": Section("tests.bench.meter_page", limit_s=1_200, usual_s=600, quick={"readings": 1_000_000}),
    "growth": Section(
        "tests.bench.growth",
        limit_s=1_800,
        usual_s=900,
        options={"minutes": 8.0},
        quick={"minutes": 0.1, "target_rows": 1},
    ),
    "gateway_workers": Section("tests.bench.gateway_workers", limit_s=300, usual_s=90, quick={"seconds": 2.0}),
    "partitions": Section("tests.bench.partitions", limit_s=240, usual_s=90),
    "end_to_end_timescale": Section(
        "tests.bench.end_to_end",
        limit_s=900,
        usual_s=330,
        variable="NBWATER_TEST_TIMESCALE_URL",
        function="measure_shortly",
    ),
    "leak_stage": Section("tests.bench.leak_stage", limit_s=900, usual_s=240, variable="NBWATER_TEST_TIMESCALE_URL"),
    "billing": Section("tests.bench.billing", limit_s=900, usual_s=300, variable="NBWATER_TEST_TIMESCALE_URL"),
    "outage_stage": Section(
        "tests.bench.outage_stage", limit_s=600, usual_s=120, variable="NBWATER_TEST_TIMESCALE_URL"
    ),
    "listings": Section("tests.bench.listings", limit_s=600, usual_s=90, variable="NBWATER_TEST_TIMESCALE_URL"),
    "district_stage": Section(
        "tests.bench.district_stage", limit_s=600, usual_s=180, variable="NBWATER_TEST_TIMESCALE_URL"
    ),
    "back_pressure": Section(
        "tests.bench.back_pressure",
        limit_s=800,
        usual_s=200,
        options={"minutes": 10.0},
        quick={"minutes": 0.3},
        stretches="minutes",
    ),
}


def chosen(only: Sequence[str] | None, environment: Mapping[str, str]) -> list[str]:
    """Names in order; those whose variable is not set are left out unless they are asked for. Where the platform is
    measured on a server of the environment anyway, no other is taken."""
    if only:
        return [name for name in SECTIONS if name in only]
    elsewhere = bool(environment.get("NBWATER_DATABASE_URL"))
    return [
        name
        for name, section in SECTIONS.items()
        if not section.variable or (environment.get(section.variable) and not elsewhere)
    ]
