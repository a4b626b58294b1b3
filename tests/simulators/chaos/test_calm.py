"""What counts as not calm, on a real stream and a real database."""

from types import SimpleNamespace

import asyncpg
import pytest
from prometheus_client import CollectorRegistry, Gauge

from metering.mqtt_streams import MQTT_STREAM
from metering.streams import up_subject
from metering.telemetry import TelemetryServer
from simulators.chaos import calm
from simulators.chaos.calm import until_calm, until_known


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(calm, "POLL_S", 0.0)


@pytest.fixture
async def platform(database_url, nats_url, js):
    """A program that is ready, and one message in the stream, taken."""
    ready = [True]
    registry = CollectorRegistry()
    gauges = {
        name: Gauge(f"nbwater_gateway_{name}", "Of a gateway", registry=registry)
        for name in ("registry_devices", "registry_keys", "push_spool_bytes")
    }
    server = TelemetryServer("127.0.0.1", 0, lambda: ready[0], registry)
    port = await server.start()
    acknowledged = await js.publish(up_subject(0), b"x")
    connection = await asyncpg.connect(database_url)
    await connection.execute("INSERT INTO watermarks (partition, sequence) VALUES (0, $1)", acknowledged.seq)
    yield SimpleNamespace(
        metrics_ports=lambda: {"gateway": port}, database_url=database_url, nats_url=nats_url,
        ready=ready, connection=connection, gauges=gauges,
    )  # fmt: skip
    await connection.close()
    await server.stop()


async def test_all_taken_and_settled_is_calm(platform):
    assert await until_calm(platform, 60.0) == ""


async def test_a_program_that_is_not_ready(platform):
    platform.ready[0] = False
    assert await until_calm(platform, 0.0) == "gateway is not ready"


async def test_a_message_that_was_not_taken(platform, js):
    await js.publish(up_subject(3), b"x")
    assert await until_calm(platform, 0.0) == "partition 3 has taken 0 of 2"


async def test_a_span_that_was_not_settled(platform):
    await platform.connection.execute("INSERT INTO touched_spans (meter_id, from_ts, to_ts) VALUES (1, now(), now())")
    assert await until_calm(platform, 0.0) == "1 spans wait for settlement"


async def test_a_server_that_does_not_answer(platform):
    platform.nats_url = "nats://admin:wrong@127.0.0.1:1"
    assert "does not answer" in await until_calm(platform, 0.0)


async def test_a_worker_that_has_not_heard_of_all_meters(platform):
    platform.gauges["registry_devices"].set(239)
    platform.gauges["registry_keys"].set(7)
    assert await until_known(platform, 240, 7, 0.0) == "gateway knows 239 of 240 meters and 7 of 7 keys"
    platform.gauges["registry_devices"].set(240)
    assert await until_known(platform, 240, 7, 60.0) == ""
    assert await until_known(platform, 240, 8, 0.0) == "gateway knows 240 of 240 meters and 7 of 8 keys"


async def test_a_push_that_waits_in_the_spool(platform):
    platform.gauges["push_spool_bytes"].set(100)
    assert await until_calm(platform, 0.0) == "gateway has 100 bytes in its push spool"


async def test_a_publish_that_no_gateway_has_taken(platform, js):
    await js.add_stream(name=MQTT_STREAM, subjects=["mqtt.>"])
    await js.publish("mqtt.1", b"x")
    assert await until_calm(platform, 0.0) == "1 reports by MQTT wait for a gateway"
