"""Where simulated meters find the doors of a running platform."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from deploy.doors import SIMULATED, open_push, places
from deploy.instance import Instance
from deploy.programs import PRODUCTS_FILE
from gateway.push.products import load_products
from simulators.target import DOORS


def running(**programs: object) -> Instance:
    return Instance(os.getpid(), 5683, "", "", "", "", mqtt_port=1883, coaps_port=5684, programs=programs)


def test_the_town_is_a_product_once(tmp_path: Path) -> None:
    open_push(tmp_path)
    open_push(tmp_path)
    (product,) = load_products(tmp_path / PRODUCTS_FILE)
    assert product.name == SIMULATED
    found = places("127.0.0.1", running(gateway={"push_port": 8443}), tmp_path)
    assert found.push_url == f"http://127.0.0.1:8443/push/{product.secret_path.get_secret_value()}"
    assert found.open() == DOORS


def test_without_a_product_nobody_pushes(tmp_path: Path) -> None:
    found = places("127.0.0.1", running(gateway={"push_port": 8443}), tmp_path)
    assert (found.push_url, found.mqtt_port, found.coaps_port) == ("", 1883, 5684)


def test_an_operators_own_products_are_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NBWATER_PUSH_PRODUCTS_FILE", str(tmp_path / "own.toml"))
    open_push(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_simulator_has_no_reason_to_trust_a_certificate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    open_push(tmp_path)
    monkeypatch.setenv("NBWATER_PUSH_TLS_CERTIFICATE", "push.pem")
    monkeypatch.setenv("NBWATER_MQTT_TLS_CERTIFICATE", "mqtt.pem")
    found = places("127.0.0.1", running(gateway={"push_port": 8443}), tmp_path)
    assert (found.push_url, found.mqtt_port) == ("", 0)
