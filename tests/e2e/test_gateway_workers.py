"""`nbwater up` with two gateway workers: a meter's retransmission may reach the other one, and one may die."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable

from deploy.embedded.nats import NatsServer
from tests.e2e.running import DEADLINE_S, FRAME, IMEI, ROOT, Up, until

REPORT = b"\x42\x02\x00\x07\xaa\xbb\xb1r" + bytes((0x0D, len(IMEI) - 13)) + IMEI.encode() + b"\x11\x2a\xff" + FRAME
SUCCESS = bytes.fromhex("62440007aabb")
PORTS = 200
ACCOUNTED = """
SELECT received = stored + partial + duplicate + dead_lettered AND received >= 2 AND duplicate = received - 1
FROM accounting"""


def ask(up: Up) -> bytes:
    """The answer to the report, from a source port of its own, retransmitted as a meter would."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as meter:
        meter.settimeout(5)

        def answer() -> bytes:
            meter.sendto(REPORT, ("127.0.0.1", up.instance["coap_port"]))
            try:
                return meter.recv(100)
            except TimeoutError:
                return b""

        return bytes(until(answer, "an answer"))


def answered(up: Up, worker: str) -> float:
    """Reports answered with success."""
    port = up.instance["programs"][worker]["metrics_port"]
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=DEADLINE_S) as answer:
        found = re.search(r'^nbwater_gateway_answers_total{code="2.04"} (\S+)', answer.read().decode(), re.MULTILINE)
    return 0.0 if found is None else float(found[1])


async def test_a_report_that_reaches_both_workers_is_stored_once_and_one_may_die(start: Callable[..., Up]) -> None:
    up = start(NBWATER_GATEWAY_WORKERS="2")
    up.register()
    until(lambda: ask(up) == SUCCESS, "the registry is there")
    for _ in range(PORTS):
        until(lambda: ask(up) == SUCCESS, "success")
        if all(answered(up, worker) for worker in ("gateway", "gateway-2")):
            break
    assert all(answered(up, worker) for worker in ("gateway", "gateway-2"))
    await up.until_counted("SELECT coalesce(sum(duplicate), 0)::int FROM accounting", 1)
    assert await up.count(f"SELECT ({ACCOUNTED})::int") == 1
    assert await up.count("SELECT count(*) FROM readings") == 1

    before = up.pids()
    os.kill(before["gateway-2"], signal.SIGKILL)
    until(lambda: ask(up) == SUCCESS, "the other serves")
    until(lambda: "gateway-2 is back" in up.said, "gateway-2 is back")
    assert up.pids()["gateway"] == before["gateway"]
    assert up.end() == 0


def test_nbwater_gateway_supervises_its_workers(nats_server: NatsServer, nats_url: str) -> None:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("NBWATER_")} | {
        "NBWATER_NATS_URL": nats_server.url_for("gateway"),
        "NBWATER_NATS_MONITOR_URL": nats_server.monitor_url,
        "NBWATER_GATEWAY_PORT": "0",
        "NBWATER_GATEWAY_METRICS_PORT": "0",
    }
    command = [sys.executable, "-m", "deploy", "gateway", "--workers", "2"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment, cwd=ROOT) as process:
        assert process.stdout is not None
        said = json.loads(process.stdout.readline())
        try:
            assert {worker["port"] for worker in said["workers"]} == {said["port"]}
            assert len({worker["metrics_port"] for worker in said["workers"]}) == 2
        finally:
            process.send_signal(signal.SIGTERM)
        assert process.wait(DEADLINE_S) == 0
