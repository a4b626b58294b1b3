"""A process and its child, stopped and continued together."""

import os
import subprocess
import sys
import time

import pytest

from deploy.chaos import processes

DEADLINE_S = 60
PARENT = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
print(child.pid, flush=True)
sys.stdin.read()
child.stdin.close()
child.wait()
"""


@pytest.fixture
def family():
    """(parent, child)"""
    process = subprocess.Popen(
        [sys.executable, "-c", PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env=os.environ | {"CHAOS_PROBE": "a=b"},
    )  # fmt: skip
    yield process.pid, int(process.stdout.readline())
    process.stdin.close()
    process.wait(DEADLINE_S)
    process.stdout.close()


def state(pid):
    with open(f"/proc/{pid}/stat") as file:
        return file.read().rpartition(")")[2].split()[0]


def until(condition):
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_all_are_stopped_parent_first_and_go_on(family):
    frozen = processes.freeze(family[0])
    assert [pid for pid, _ in frozen] == list(family)
    until(lambda: [state(pid) for pid in family] == ["T", "T"])
    processes.thaw(frozen)
    until(lambda: "T" not in [state(pid) for pid in family])


def test_a_number_that_belongs_to_another_process_by_now_is_left_alone(family):
    frozen = processes.freeze(family[0])
    until(lambda: state(family[0]) == "T")
    processes.thaw([(pid, born - 1) for pid, born in frozen])
    assert state(family[0]) == "T"
    processes.thaw(frozen)


def test_who_is_gone_has_no_start_time(family):
    assert processes.started(family[0]) is not None
    process = subprocess.Popen(["true"])
    process.wait(DEADLINE_S)
    assert processes.started(process.pid) is None
    assert processes.freeze(process.pid) == []


def test_environment_and_command_are_those_it_was_started_with(family):
    assert processes.environment(family[0])["CHAOS_PROBE"] == "a=b"
    assert processes.command(family[0])[:2] == [sys.executable, "-c"]
