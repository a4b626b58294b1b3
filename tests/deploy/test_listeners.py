"""Ports that somebody takes between the look at them and the start of the program."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.listeners import COAPS, Listeners, start_somewhere
from deploy.supervision.child import Child, Spec
from deploy.supervision.log_file import LogFile
from metering.errors import StartError

BINDS = """
import json, os, socket, sys, time
port = int(os.environ["NBWATER_GATEWAY_PORT"])
bound = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
try:
    bound.bind(("127.0.0.1", port))
except OSError:
    sys.exit("gateway: taken")
print(json.dumps({"ready": "gateway", "port": port}), flush=True)
time.sleep(60)
"""


@pytest.fixture
def neighbour(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """The CoAP port of the settings; a neighbour has it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as bound:
        bound.bind(("127.0.0.1", 0))
        port = bound.getsockname()[1]
        monkeypatch.setenv("NBWATER_GATEWAY_HOST", "127.0.0.1")
        monkeypatch.setenv("NBWATER_GATEWAY_PORT", str(port))
        monkeypatch.setenv("NBWATER_API_PORT", "0")
        yield port


def gateway(tmp_path: Path, port: int) -> Child:
    file = tmp_path / "gateway.py"
    file.write_text(BINDS)
    environment = dict(os.environ) | {"NBWATER_GATEWAY_PORT": str(port), "NBWATER_GATEWAY_METRICS_PORT": "0"}
    spec = Spec("gateway", [sys.executable, str(file)], environment, start_timeout_s=20)
    return Child(spec, LogFile(tmp_path / "it.log"), lambda _: None, lambda *_: None)


async def test_a_port_taken_in_the_meantime_is_replaced_where_it_may_be(tmp_path: Path, neighbour: int) -> None:
    said = list[str]()
    child = gateway(tmp_path, neighbour)
    await start_somewhere(child, Listeners("127.0.0.1", True, said.append).move)
    assert child.said["port"] != neighbour
    assert said == [f"the CoAP port {neighbour} is taken; using {child.said['port']}"]
    await child.stop()


async def test_where_people_chose_it_the_failure_stands(tmp_path: Path, neighbour: int) -> None:
    child = gateway(tmp_path, neighbour)
    with pytest.raises(StartError, match="taken"):
        await start_somewhere(child, Listeners("127.0.0.1", False, print).move)
    await child.stop()


def test_the_choice_before_the_start(neighbour: int) -> None:
    said = list[str]()
    assert Listeners("127.0.0.1", True, said.append).choose().coap != neighbour
    assert len(said) == 1
    with pytest.raises(StartError, match="NBWATER_GATEWAY_PORT"):
        Listeners("127.0.0.1", False, said.append).choose()


def test_the_port_of_coaps_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deploy.ports._is_free", lambda _kind, _host, port: port >= COAPS)
    assert Listeners("127.0.0.1", True, lambda _: None).choose(5683, 0).coap == COAPS + 1
    assert Listeners("127.0.0.1", True, lambda _: None).choose(COAPS, 0).coap == COAPS


def test_the_dtls_port_follows_the_coap_port_unless_somebody_named_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deploy.ports._is_free", lambda _kind, _host, port: port not in (7001, COAPS + 1))
    monkeypatch.setattr("deploy.ports.require_udp", lambda *_: None)
    monkeypatch.setattr("deploy.ports.require_tcp", lambda *_: None)

    def chosen(coap: int, coaps: int | None = None) -> int:
        return Listeners("127.0.0.1", False, print).choose(coap, 0, coaps).coaps

    assert [chosen(5683), chosen(0), chosen(7000), chosen(7000, 9), chosen(0, COAPS)] == [COAPS, 0, 7002, 9, COAPS]
    monkeypatch.setenv("NBWATER_DTLS_PORT", "7005")
    assert [chosen(5683), chosen(0), chosen(7000, 9)] == [7005, 7005, 9]


def test_a_dtls_port_that_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as bound:
        bound.bind(("127.0.0.1", 0))
        taken = bound.getsockname()[1]
        monkeypatch.setenv("NBWATER_DTLS_HOST", "127.0.0.1")
        with pytest.raises(StartError, match="NBWATER_DTLS_PORT"):
            Listeners("127.0.0.1", False, print).choose(0, 0, taken)
        said = list[str]()
        assert Listeners("127.0.0.1", True, said.append).choose(0, 0, taken).coaps != taken
        assert "DTLS" in said[0]
        monkeypatch.setenv("NBWATER_DTLS_ENABLED", "false")
        assert Listeners("127.0.0.1", False, print).choose(0, 0, taken).coaps == taken  # nobody will ask for it
