"""Real servers whose clocks are stepped while they run: PostgreSQL in C, nats-server in Go, Python for all else."""

import asyncio
import json
import secrets
import subprocess
import sys
import time
import urllib.request

import asyncpg
import pytest

from deploy.chaos import processes, server_clock
from deploy.embedded.nats import USERS, NatsServer
from deploy.embedded.postgres import PostgresServer
from metering.errors import StartError

TOLERANCE_S = 100.0
"""More than a busy machine ever takes between two lines, less than any step here."""
STEPS_S = (3600.0, -86_400.0, 0.0)
PROBE = """
import json, sys, time
for _ in sys.stdin:
    print(json.dumps([time.time(), time.clock_gettime(5), time.monotonic()]), flush=True)
"""


def step(pid, seconds):
    frozen = processes.freeze(pid)
    try:
        return server_clock.step([one for one, _ in frozen], seconds)
    finally:
        processes.thaw(frozen)


@pytest.fixture
def clock():
    """Asks a process of ours: wall clock, coarse wall clock, monotonic clock."""
    with subprocess.Popen(
        [sys.executable, "-c", PROBE], text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:

        def ask():
            process.stdin.write("\n")
            process.stdin.flush()
            return json.loads(process.stdout.readline())

        ask.pid = process.pid
        yield ask


def test_the_wall_clock_moves_and_the_monotonic_one_does_not(clock):
    monotonic = clock()[2]
    for seconds in STEPS_S:
        assert step(clock.pid, seconds) == 1
        wall, coarse, going_on = clock()
        assert abs(wall - time.time() - seconds) < TOLERANCE_S
        assert abs(coarse - time.time() - seconds) < TOLERANCE_S
        assert 0 <= going_on - monotonic < TOLERANCE_S
    assert abs(time.time() - clock()[0]) < TOLERANCE_S, "nobody else's clock moves"


def test_who_has_ended_is_passed_over():
    process = subprocess.Popen(["true"])
    process.wait(60)
    assert server_clock.step([process.pid], 60) == 0


def test_another_machine_is_refused(clock, monkeypatch):
    monkeypatch.setattr(server_clock.platform, "machine", lambda: "riscv64")
    with pytest.raises(StartError, match="x86-64"):
        server_clock.step([clock.pid], 60)


async def test_every_process_of_postgresql_is_stepped_and_new_ones_are_born_so(tmp_path):
    server = PostgresServer(tmp_path / "postgres", secrets.token_hex(8), durable=False)
    await asyncio.to_thread(server.start)
    try:
        old = await asyncpg.connect(server.url("postgres"))
        for seconds in STEPS_S:
            assert step(server.process.pid, seconds) > 3
            new = await asyncpg.connect(server.url("postgres"))
            for connection in (old, new):
                for asked in ("clock_timestamp()", "now()"):
                    told = await connection.fetchval(f"SELECT extract(epoch FROM {asked})::float8")
                    assert abs(told - time.time() - seconds) < TOLERANCE_S
            await new.close()
        await old.close()
    finally:
        await asyncio.to_thread(server.stop)


def test_nats_server_is_stepped(tmp_path):
    server = NatsServer(tmp_path / "nats", {user: secrets.token_hex(8) for user in USERS})
    server.start()
    try:
        for seconds in STEPS_S:
            assert step(server.process.pid, seconds) == 1
            with urllib.request.urlopen(f"{server.monitor_url}/varz", timeout=60) as answer:
                told = json.load(answer)["now"]
            stepped = time.strftime("%Y-%m-%dT%H", time.gmtime(time.time() + seconds))
            before = time.strftime("%Y-%m-%dT%H", time.gmtime(time.time() + seconds - TOLERANCE_S))
            assert told.startswith((stepped, before))
    finally:
        server.stop()
