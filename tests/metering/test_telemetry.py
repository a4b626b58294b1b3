import asyncio

import pytest
from prometheus_client import CollectorRegistry, Counter

from metering import telemetry
from metering.errors import StartError
from metering.telemetry import TelemetryServer


async def _get(port: int, path: str) -> tuple[str, str]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    answer = (await reader.read()).decode()
    writer.close()
    head, _, body = answer.partition("\r\n\r\n")
    return head.splitlines()[0], body


async def test_metrics_health_and_readiness() -> None:
    registry = CollectorRegistry()
    Counter("nbwater_test_things", "Things.", registry=registry).inc(3)
    ready = False
    server = TelemetryServer("127.0.0.1", 0, lambda: ready, registry)
    port = await server.start()
    assert "nbwater_test_things_total 3.0" in (await _get(port, "/metrics"))[1]
    assert (await _get(port, "/healthz"))[0] == "HTTP/1.1 200 OK"
    assert (await _get(port, "/readyz"))[0].startswith("HTTP/1.1 503")
    ready = True
    assert (await _get(port, "/readyz"))[0] == "HTTP/1.1 200 OK"
    assert (await _get(port, "/else"))[0].startswith("HTTP/1.1 404")
    await server.stop()


async def test_nonsense_on_the_port_harms_nobody() -> None:
    server = TelemetryServer("127.0.0.1", 0, lambda: True, CollectorRegistry())
    port = await server.start()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"\x00" * 100_000)
    await reader.read()
    writer.close()
    assert (await _get(port, "/healthz"))[0] == "HTTP/1.1 200 OK"
    await server.stop()


async def test_many_connections_that_say_nothing_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telemetry, "MAX_CONNECTIONS", 3)
    monkeypatch.setattr(telemetry, "EXCHANGE_TIMEOUT_S", 0.3)
    server = TelemetryServer("127.0.0.1", 0, lambda: True, CollectorRegistry())
    port = await server.start()
    silent = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    assert await reader.read() == b""
    writer.close()
    for reader, writer in silent:
        assert await reader.read() == b""
        writer.close()
    assert (await _get(port, "/healthz"))[0] == "HTTP/1.1 200 OK"
    await server.stop()


async def test_a_taken_port_is_a_start_error() -> None:
    first = TelemetryServer("127.0.0.1", 0, lambda: True, CollectorRegistry())
    port = await first.start()
    with pytest.raises(StartError, match=str(port)):
        await TelemetryServer("127.0.0.1", port, lambda: True, CollectorRegistry()).start()
    await first.stop()
