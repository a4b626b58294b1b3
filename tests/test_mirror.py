"""Every module has a test that names it: a new file without one fails here."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("metering", "gateway", "ingest", "api", "simulators", "deploy")

COVERED_OTHERWISE = {
    "api.pages": "drawn in Chromium: tests/browser",
    "api.routes": "asked over HTTP: tests/api/routes",
    "api.audit": "as api.routes",
    "api.queries.amending": "as api.routes",
    "api.queries.amendments": "as api.routes",
    "api.queries.billing_ledger": "as api.routes",
    "api.queries.billing_preview": "as api.routes",
    "api.queries.commanding": "as api.routes",
    "api.queries.commands": "as api.routes",
    "api.queries.day_edits": "as api.routes",
    "api.queries.installed": "through keys and bindings: tests/api/routes",
    "api.queries.settled_days": "as api.routes",
    "api.metrics": "as api.routes",
    "api.problems": "as api.routes",
    "deploy.cluster.bed": "run as a whole: tests/e2e/test_cluster.py",
    "deploy.commands": "called as commands: tests/e2e",
    "deploy.doctor": "called as a command: tests/e2e/test_mqtt.py",
    "deploy.demo": "called as a command: tests/e2e/test_demo.py",
    "deploy.programs": "run by `nbwater up`: tests/e2e/test_up.py",
    "deploy.registration": "as deploy.commands",
    "deploy.servers": "as deploy.programs",
    "deploy.status_table": "as deploy.programs",
    "deploy.supervision.parent_death": "as deploy.programs: the supervisor is killed with -9",
    "deploy.up": "as deploy.programs",
    "gateway.coap.behind_oscore": "by both lanes behind it: tests/gateway/coap/test_firmware.py, lwm2m/test_oscore.py",
    "gateway.coap.lanes": "protocols only, kept by the lanes of tests/gateway/coap",
    "gateway.coap.lwm2m": "its parts that talk: driven through the CoAP port, tests/gateway/coap/lwm2m",
    "gateway.doors": "opened by the gateway's process: tests/gateway/test_process.py",
    "gateway.push.desk": "as gateway.push.door",
    "gateway.push.door": "opened by the gateway's process: tests/gateway/push/test_door.py",
    "gateway.push.north.calls": "as gateway.push.north.client",
    "gateway.push.north.client": "by the courier, over a stub that checks signatures: tests/gateway/push/north",
    "gateway.mqtt.connection": "run in the gateway's process: tests/gateway/mqtt/test_door.py, test_external_broker.py",
    "gateway.mqtt.door": "as gateway.mqtt.connection",
    "gateway.mqtt.ending": "as gateway.mqtt.connection",
    "gateway.mqtt.parts": "as gateway.mqtt.connection",
    "gateway.mqtt.probe": "as gateway.mqtt.connection, and by `nbwater doctor`: tests/e2e/test_mqtt.py",
    "gateway.mqtt.responder": "as gateway.mqtt.connection",
    "gateway.registry_mirror": "run in the gateway's process: tests/gateway/test_process.py",
    "ingest.decoders": "run by their vectors through the table of formats: tests/ingest/decoders",
    "ingest.leaks.alerts": "through what raises alerts: tests/ingest/leaks, tests/ingest/settlement",
    "ingest.leaks.stage": "through settlement: tests/ingest/settlement/test_stage.py",
    "ingest.leaks.live": "through its stage: tests/ingest/leaks/live, tests/integration/test_leak_replay.py",
    "ingest.meter_rows": "as ingest.meters",
    "ingest.meters": "through the stage: tests/ingest/settlement/test_stage.py",
    "ingest.metrics": "names only",
    "ingest.program": "run in its two processes: tests/integration/test_ingest_program.py, test_settlement_program.py",
    "ingest.publishing": "by both publishers: tests/ingest/registry/test_publisher.py, tests/ingest/commands",
    "ingest.registry.entries": "through the publisher: tests/ingest/registry/test_publisher.py",
    "metering.door_settings": "through metering.settings: tests/metering/test_settings.py",
    "metering.section": "as metering.door_settings",
    "simulators.chaos.cli": "called as a command: tests/deploy/chaos/test_platform.py",
    "simulators.city.cli": "called as a command: tests/simulators/city/test_cli.py, tests/e2e/test_demo.py",
    "simulators.chaos.run": "as simulators.chaos.cli",
    "simulators.cli": "called as commands: tests/e2e/test_commands.py",
    "simulators.load": "as simulators.cli",
    "simulators.replay": "as simulators.cli",
    "simulators.target": "as simulators.cli",
}
"""Modules, and packages with all theirs, that are reached only through something else, and where."""


@cache
def imported_by_tests() -> frozenset[str]:
    """Modules, and names imported from packages, of every file below tests/."""
    return frozenset(name for path in (ROOT / "tests").rglob("*.py") for name in _imports(ast.parse(path.read_text())))


def _imports(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def modules() -> Iterator[str]:
    """All but packages' own `__init__` and `__main__`; the latter are run as processes."""
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            if not path.stem.startswith("__"):
                yield ".".join(path.relative_to(ROOT).with_suffix("").parts)


@pytest.mark.parametrize("module", list(modules()))
def test_a_test_imports_it(module: str) -> None:
    if not any(f"{module}.".startswith(f"{covered}.") for covered in COVERED_OTHERWISE):
        assert module in imported_by_tests(), f"no test imports {module}"


@pytest.mark.parametrize("covered", COVERED_OTHERWISE)
def test_what_is_covered_otherwise_exists(covered: str) -> None:
    assert any(f"{module}.".startswith(f"{covered}.") for module in modules())
