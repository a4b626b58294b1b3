"""Dashboard and alert rules name only metrics that a program exports."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parents[2] / "deploy" / "grafana"
DASHBOARD = json.loads((FOLDER / "path.json").read_text())
RULES = (FOLDER / "rules.yml").read_text()
NAME = re.compile(r"\b([a-z_]+(?:_[a-z0-9]+)+)\b(?!\s*\()")
OTHERS = {
    "up", "node_filesystem_avail_bytes", "node_filesystem_size_bytes",
    "process_resident_memory_bytes", "process_cpu_seconds_total",
}  # fmt: skip
"""Of Prometheus, of the node exporter, and of every Python program."""

EXPORTED = """
import asyncio
from prometheus_client import REGISTRY, generate_latest
import api.__main__, api.auth, api.metrics, api.path
import ingest.__main__, ingest.metrics, ingest.settlement.__main__, ingest.settlement.metrics
from gateway.__main__ import Gateway
from metering.settings import GatewaySettings, NatsSettings

async def say():
    Gateway(GatewaySettings(host="127.0.0.1", port=0, metrics_port=0), NatsSettings(url="nats://127.0.0.1:1"))
    print(generate_latest(REGISTRY).decode())

asyncio.run(say())
"""


@cache
def exported() -> frozenset[str]:
    """Names of samples of all programs, by their own registries."""
    done = subprocess.run([sys.executable, "-c", EXPORTED], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    names: set[str] = set()
    for name, kind in re.findall(r"^# TYPE (\S+) (\S+)$", done.stdout, re.M):
        names |= {f"{name}_bucket", f"{name}_sum", f"{name}_count"} if kind == "histogram" else {name}
    return frozenset(names)


def panels(found: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for panel in found:
        yield panel
        yield from panels(panel.get("panels", []))


def dashboard_expressions() -> list[str]:
    return [target["expr"] for panel in panels(DASHBOARD["panels"]) for target in panel.get("targets", [])]


def rule_expressions() -> list[str]:
    return re.findall(r"^ +expr: (.+)$", RULES, re.M)


def metrics_in(expression: str) -> set[str]:
    """Metric names: words that are neither functions, nor labels, nor inside quotes."""
    bare = re.sub(r'"[^"]*"', "", expression.replace("$__rate_interval", "5m"))
    bare = re.sub(r"\b(?:by|without|on)\s*\([^)]*\)", "", re.sub(r"\{[^}]*\}", "", bare))
    return set(NAME.findall(bare)) | ({"up"} if re.match(r"up\b", bare) else set())


@pytest.mark.parametrize("expression", sorted({*dashboard_expressions(), *rule_expressions()}))
def test_every_metric_exists(expression: str) -> None:
    names = metrics_in(expression)
    assert names
    assert names <= exported() | OTHERS, sorted(names - exported() - OTHERS)
    for left, right in ("()", "{}", "[]"):
        assert expression.count(left) == expression.count(right)


def test_a_name_that_nobody_exports_would_be_found() -> None:
    assert metrics_in('sum by (le) (rate(nbwater_made_up_total{code="5.03"}[5m])) / 2') == {"nbwater_made_up_total"}
    assert "nbwater_made_up_total" not in exported()


def test_the_dashboard_shows_the_path_from_left_to_right_on_any_datasource() -> None:
    used = [panel for panel in panels(DASHBOARD["panels"]) if panel["type"] != "row"]
    assert {panel["datasource"]["uid"] for panel in used} == {"${datasource}"}
    assert [variable["type"] for variable in DASHBOARD["templating"]["list"]] == ["datasource"]
    first = [panel["targets"][0]["expr"] for panel in used if panel["gridPos"]["y"] == 1]
    stages = ["gateway", "ingest_stream", "ingest_lease", "api_accounting", "settlement"]
    assert all(f"nbwater_{stage}" in expression for stage, expression in zip(stages, first, strict=True))
    assert len({panel["id"] for panel in used}) == len(used)


def test_what_must_wake_somebody_has_a_rule() -> None:
    alerts = set(re.findall(r"- alert: (\w+)", RULES))
    assert {
        "NbwaterAccountingDoesNotAddUp", "NbwaterBacklogGrows", "NbwaterLeaseLost", "NbwaterBackPressure",
        "NbwaterDiskFills",
    } <= alerts  # fmt: skip
    assert len(rule_expressions()) == len(alerts)
