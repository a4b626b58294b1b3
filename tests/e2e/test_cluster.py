"""The production topology, each host a network namespace: the nodes fail under load, and nothing that was answered is
lost. `make chaos-cluster` does all faults; here are those of the nodes, as briefly as they can be felt."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.cluster.bed.network import unavailable
from tests.e2e.running import ROOT

FAULTS = ("node_killed", "leader_moved", "node_cut")
DEADLINE_S = 900


def test_nodes_killed_moved_and_cut_off_under_load(tmp_path: Path) -> None:
    if reason := unavailable():
        pytest.skip(f"NOT RUN: {reason}")
    file = tmp_path / "result.json"
    options = ["--faults", ",".join(FAULTS), "--hold", "1", "--reports-per-second", "60", "--meters", "60"]
    done = subprocess.run(
        [sys.executable, "-m", "deploy", "cluster", "rehearse", *options, "--json", str(file)],
        cwd=ROOT, capture_output=True, text=True, timeout=DEADLINE_S, check=False,
    )  # fmt: skip
    assert file.exists(), done.stderr
    result = json.loads(file.read_text())
    assert [seen["fault"] for seen in result["faults"]] == list(FAULTS)
    assert result["load"]["reconciliation"]["ok"], result
    assert not any(result["unaccounted"].values()), result
    assert result["load"]["answered"] > 0
    assert (done.returncode, result["ok"]) == (0, True)
