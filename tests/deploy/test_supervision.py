"""Children that are small Python programs: started, killed, looping, deaf, orphaned."""

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from deploy.supervision.child import Child, Spec
from deploy.supervision.leftovers import Children, forget_stale_postmaster
from deploy.supervision.log_file import LogFile
from metering.errors import StartError

DEADLINE_S = 20

OBEDIENT = """
import json, signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
print(json.dumps({"ready": "it", "port": 4711}), flush=True)
while True: time.sleep(0.05)
"""


async def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


class Stage:
    def __init__(self, directory: Path) -> None:
        self.directory, self.said = directory, list[str]()
        self.pids = list[int]()

    def child(self, source: str, **changes: object) -> Child:
        file = self.directory / "program.py"
        file.write_text(textwrap.dedent(source))
        spec = Spec("it", [sys.executable, str(file)], dict(os.environ))
        for name, value in changes.items():
            setattr(spec, name, value)
        log = LogFile(self.directory / "it.log")
        return Child(spec, log, self.said.append, lambda _, pid: self.pids.append(pid))

    @property
    def log(self) -> str:
        return (self.directory / "it.log").read_text()


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


async def test_ready_line_is_read_and_the_end_is_orderly(stage: Stage) -> None:
    child = stage.child(OBEDIENT)
    await child.start()
    watching = asyncio.create_task(child.watch())
    assert child.said["port"] == 4711
    await child.stop()
    await asyncio.wait_for(watching, DEADLINE_S)
    assert child.pid is None
    assert stage.said == []


async def test_a_child_that_says_it_is_broken_is_started_again_though_it_lives(stage: Stage) -> None:
    source = OBEDIENT.replace(
        "while True:", "print('[ERR] cannot store\\n[ERR] cannot store', flush=True)\nwhile True:"
    )
    child = stage.child(source, broken="[ERR] cannot store")
    await child.start()
    watching = asyncio.create_task(child.watch())
    await until(lambda: len(stage.pids) >= 2)
    told = [line for line in stage.said if "cannot go on" in line]
    assert "[ERR] cannot store" in told[0]
    assert len(told) <= len(stage.pids)
    await child.stop()
    await asyncio.wait_for(watching, DEADLINE_S)


async def test_a_killed_child_comes_back(stage: Stage) -> None:
    child = stage.child(OBEDIENT)
    await child.start()
    watching = asyncio.create_task(child.watch())
    os.kill(stage.pids[0], signal.SIGKILL)
    await until(lambda: any("is back" in line for line in stage.said))
    assert "SIGKILL" in stage.said[0]
    assert len(set(stage.pids)) == 2
    await child.stop()
    await watching


async def test_a_child_that_fails_at_once_is_reported_in_its_own_words(stage: Stage) -> None:
    child = stage.child("import sys; sys.exit('the port is taken by the neighbour')")
    with pytest.raises(StartError, match="taken by the neighbour"):
        await child.start()
    await child.stop()


async def test_a_program_that_does_not_exist_is_an_error_with_its_name(stage: Stage) -> None:
    child = stage.child("", command=["/does/not/exist"])
    with pytest.raises(StartError, match="it cannot be started"):
        await child.start()
    await child.stop()


async def test_a_child_that_is_never_ready_is_reported(stage: Stage) -> None:
    child = stage.child("import time; time.sleep(60)", start_timeout_s=0.3)
    with pytest.raises(StartError, match="was not ready within"):
        await child.start()
    await child.stop()


async def test_a_crash_loop_is_said_aloud_and_not_given_up(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deploy.supervision.backoff.FIRST_DELAY_S", 0.01)
    child = stage.child("import sys; print('{\"ready\": \"it\"}', flush=True); sys.exit('no water')")
    await child.start()
    watching = asyncio.create_task(child.watch())
    await until(lambda: sum("keeps failing" in line for line in stage.said) >= 2)
    loud = next(line for line in stage.said if "keeps failing" in line)
    assert "no water" in loud
    assert "it.log" in loud
    await child.stop()
    await asyncio.wait_for(watching, DEADLINE_S)


async def test_a_deaf_child_is_killed_after_its_time(stage: Stage) -> None:
    child = stage.child(OBEDIENT.replace("lambda *_: sys.exit(0)", "signal.SIG_IGN"), stop_timeout_s=0.3)
    await child.start()
    await child.stop()
    assert child.pid is None
    assert any("is killed" in line for line in stage.said)


async def test_who_is_ended_at_once_is_not_mourned(stage: Stage) -> None:
    child = stage.child(OBEDIENT)
    await child.start()
    watching = asyncio.create_task(child.watch())
    child.kill()
    await asyncio.wait_for(watching, DEADLINE_S)
    assert stage.said == []
    await child.stop()


async def test_output_of_any_shape_reaches_the_log(stage: Stage) -> None:
    child = stage.child("import sys, os; os.write(1, b'x' * 300_000 + b'\\xff\\n')\n" + OBEDIENT)
    await child.start()
    await child.stop()
    assert (stage.directory / "it.log").stat().st_size > 300_000


def test_no_orphans_when_the_supervisor_is_killed(tmp_path: Path) -> None:
    """The kernel itself ends the child."""
    source = tmp_path / "supervisor.py"
    source.write_text(
        textwrap.dedent(f"""
        import asyncio, os, sys
        from pathlib import Path
        from deploy.supervision.child import Child, Spec
        from deploy.supervision.log_file import LogFile

        async def main():
            program = Path({str(tmp_path)!r}) / "program.py"
            program.write_text({OBEDIENT!r})
            spec = Spec("it", [sys.executable, str(program)], dict(os.environ))
            child = Child(spec, LogFile(program.with_suffix(".log")), print, lambda name, pid: print(pid, flush=True))
            await child.start()
            print("ready", flush=True)
            await asyncio.sleep(60)

        asyncio.run(main())
        """)
    )
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen([sys.executable, source], stdout=subprocess.PIPE, text=True, env=environment) as supervisor:
        assert supervisor.stdout is not None
        pid = int(supervisor.stdout.readline())
        assert supervisor.stdout.readline() == "ready\n"
        supervisor.kill()
    deadline = time.monotonic() + DEADLINE_S
    while Path(f"/proc/{pid}").exists() and "Z" not in Path(f"/proc/{pid}/stat").read_text().split()[2]:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_leftovers_of_an_earlier_run_are_ended_and_strangers_are_not(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as leftover:
        children = Children(tmp_path / "children.json")
        children.started("gateway", leftover.pid)
        text = (tmp_path / "children.json").read_text()
        (tmp_path / "children.json").write_text(text.replace(f"[{leftover.pid}, ", f"[{leftover.pid}, 1"))
        assert children.end_leftovers() == []  # same number, another life
        assert leftover.poll() is None
        (tmp_path / "children.json").write_text(text)
        assert children.end_leftovers() == ["gateway"]
        assert leftover.wait(DEADLINE_S) == -signal.SIGTERM


def test_a_postmaster_file_with_a_strangers_number_is_forgotten(tmp_path: Path) -> None:
    file = tmp_path / "postmaster.pid"
    file.write_text(f"{os.getpid()}\n{tmp_path}\n")
    forget_stale_postmaster(tmp_path)
    assert not file.exists()


def test_a_postmaster_file_without_process_is_left_to_postgresql(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        gone.wait()
    file = tmp_path / "postmaster.pid"
    file.write_text(f"{gone.pid}\n{tmp_path}\n")
    forget_stale_postmaster(tmp_path)
    assert file.exists()


async def test_a_child_that_can_wait_yields(stage: Stage) -> None:
    child = stage.child(OBEDIENT, niceness=3)
    await child.start()
    assert child.pid is not None
    assert os.getpriority(os.PRIO_PROCESS, child.pid) == os.getpriority(os.PRIO_PROCESS, 0) + 3
    await child.stop()
