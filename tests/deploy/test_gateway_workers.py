from __future__ import annotations

import socket

import pytest

from deploy import programs
from deploy.gateway_workers import METRICS_STEP, more_workers
from deploy.supervision.child import Spec


@pytest.fixture
def first() -> Spec:
    return Spec("gateway", ["program"], {"NBWATER_GATEWAY_WORKER": "0", "NBWATER_NATS_URL": "nats://there"})


def test_further_workers_get_the_port_of_the_first_and_a_number(first: Spec) -> None:
    second, third = more_workers(first, {"port": 5683, "metrics_port": 0}, 3)
    assert [second.name, third.name] == ["gateway-2", "gateway-3"]
    assert [spec.environment["NBWATER_GATEWAY_WORKER"] for spec in (first, second, third)] == ["0", "1", "2"]
    assert second.environment["NBWATER_GATEWAY_PORT"] == "5683"
    assert second.environment["NBWATER_NATS_URL"] == "nats://there"
    assert more_workers(first, {"port": 5683, "metrics_port": 9101}, 1) == []


def test_a_metrics_port_that_is_taken_becomes_a_free_one(first: Spec) -> None:
    with socket.socket() as neighbour:
        neighbour.bind(("127.0.0.1", 0))
        neighbour.listen()
        taken = neighbour.getsockname()[1]
        (second,) = more_workers(first, {"port": 1, "metrics_port": taken - METRICS_STEP}, 2)
    assert second.environment["NBWATER_GATEWAY_METRICS_PORT"] == "0"


def test_a_worker_keeps_the_ports_of_its_first_life(first: Spec) -> None:
    (second,) = more_workers(first, {"port": 5683, "metrics_port": 0}, 2)
    programs.keep_port(second, {"port": 5683, "metrics_port": 4711})
    assert second.environment["NBWATER_GATEWAY_METRICS_PORT"] == "4711"
