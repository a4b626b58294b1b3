"""The listener with TLS, as beyond loopback: the gateway trusts an authority, or the very certificate."""

from __future__ import annotations

import secrets
import ssl
from pathlib import Path
from typing import Any

import aiomqtt
import pytest

from deploy.cluster.bed import certificates
from deploy.embedded.mqtt_listener import MqttListener
from deploy.embedded.nats import USERS, NatsServer
from deploy.embedded.ports import free_tcp_port
from gateway.mqtt.connection import tls_context
from gateway.mqtt.topics import up
from metering.errors import SettingsError
from tests.gateway.conftest import StartGateway, stored, until
from tests.gateway.mqtt.conftest import METERS, is_open, listener_of

pytestmark = pytest.mark.skipif(not certificates.available(), reason="NOT RUN: openssl is not installed")


async def test_a_report_over_tls(tmp_path: Path, start_gateway: StartGateway) -> None:
    folder = tmp_path / "tls"
    certificates.make(folder, {"node": "127.0.0.1"})
    files = str(folder / "node.pem"), str(folder / "node.key")
    mqtt = MqttListener("127.0.0.1", free_tcp_port(), secrets.token_hex(16), secrets.token_hex(32), *files)
    server = NatsServer(tmp_path / "nats", {user: secrets.token_hex(16) for user in USERS}, mqtt=mqtt)
    server.start()
    try:
        async with listener_of(server) as listener:
            trusts = [
                {"NBWATER_MQTT_TLS_CA": str(folder / "ca.pem")},
                {"NBWATER_MQTT_TLS_CA": files[0], "NBWATER_MQTT_TLS_CHECK_NAME": "false"},
            ]
            for number, trust in enumerate(trusts):
                gateway = await start_gateway(nats=server, environment=listener.settings | trust)
                await until(lambda gateway=gateway: is_open(gateway))
                context = ssl.create_default_context(cafile=folder / "ca.pem")
                async with listener.meter(METERS[0], tls_context=context) as meter:
                    await meter.publish(up(METERS[0]), bytes([number]) * 3000, qos=1)
                await until(lambda number=number: _count(listener.js, number + 1))
                await gateway.stop()
            with pytest.raises(aiomqtt.MqttError):
                async with listener.meter(METERS[0], timeout=3):
                    pass
    finally:
        server.stop()


async def _count(js: Any, wanted: int) -> bool:
    return len(await stored(js)) == wanted


def test_a_certificate_must_be_trusted_by_something() -> None:
    with pytest.raises(SettingsError, match="tls_check_name"):
        tls_context("", False)
    with pytest.raises(SettingsError, match="tls_ca"):
        tls_context("/nowhere", True)
