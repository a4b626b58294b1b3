"""A clock stepped from outside, in a process of its own: only the wall clock moves, and only of the role named."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.chaos import stepped_clock

ROOT = Path(__file__).parents[3]
PROBE = """
import json, sys, time
for _ in sys.stdin:
    print(json.dumps([time.time(), time.time_ns() / 1e9, time.monotonic()]), flush=True)
"""
TOLERANCE_S = 100.0
"""More than a busy machine ever takes between two lines, less than any step here."""
STEP_S = 5000.0


@pytest.fixture
def clocks(tmp_path):
    return tmp_path / "clocks"


@pytest.fixture
def probe(clocks, tmp_path):
    """Asks the clocks of a running `python -m gateway`, which is none of ours."""
    for module in ("gateway", "other"):
        (tmp_path / f"{module}.py").write_text(PROBE)
    hook = stepped_clock.hook(clocks, ("gateway",))
    started = []

    def ask(module):
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, (hook, tmp_path, ROOT)))}
        process = subprocess.Popen(
            [sys.executable, "-m", module], cwd=tmp_path, env=environment, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        started.append(process)

        def clock():
            process.stdin.write("\n")
            process.stdin.flush()
            return json.loads(process.stdout.readline())

        return clock

    yield ask
    for process in started:
        process.stdin.close()
        process.wait(60)
        process.stdout.close()


def test_both_wall_clocks_are_stepped_and_put_right_while_the_program_runs(probe, clocks):
    clock = probe("gateway")
    before, before_ns, monotonic_before = clock()
    assert abs(before_ns - before) < TOLERANCE_S
    stepped_clock.step(clocks, "gateway", STEP_S)
    stepped, stepped_ns, monotonic = clock()
    assert abs(stepped - before - STEP_S) < TOLERANCE_S
    assert abs(stepped_ns - before - STEP_S) < TOLERANCE_S
    assert 0 <= monotonic - monotonic_before < TOLERANCE_S
    stepped_clock.step(clocks, "gateway", -STEP_S)
    assert abs(clock()[0] - before + STEP_S) < TOLERANCE_S
    stepped_clock.step(clocks, "gateway", 0)
    assert abs(clock()[0] - before) < TOLERANCE_S


def test_programs_of_no_role_keep_their_clock(probe, clocks):
    clock = probe("other")
    before = clock()[0]
    stepped_clock.step(clocks, "gateway", STEP_S)
    assert abs(clock()[0] - before) < TOLERANCE_S


@pytest.mark.parametrize(
    ("arguments", "role"),
    [
        (["python", "-m", "gateway"], "gateway"),
        (["python", "-m", "ingest"], "ingest"),
        (["python", "-m", "ingest.settlement"], "settlement"),
        (["python", "-m", "deploy", "settlement"], "settlement"),
        (["python", "-m", "deploy", "up"], "deploy"),
        (["python", "script.py"], ""),
        (["python", "-m"], ""),
    ],
)
def test_the_role_is_read_from_the_command(arguments, role):
    assert stepped_clock.role_of(arguments) == role
