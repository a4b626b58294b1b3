"""Logs and metrics, the same in every process: JSON lines on stderr, Prometheus text on a small HTTP port."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Callable

import structlog
from prometheus_client import REGISTRY, CollectorRegistry, generate_latest

from metering.errors import StartError

MAX_REQUEST_BYTES = 4096
MAX_CONNECTIONS = 64
"""Beyond them a connection is closed at once: whoever holds many open must not use up the program's descriptors."""
EXCHANGE_TIMEOUT_S = 5


def configure_logging(program: str) -> None:
    """JSON lines with time, level and program. Nobody logs credentials or payloads."""
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(name)s: %(message)s")
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(ensure_ascii=False),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        # The process's own stderr: loggers are cached, and whoever replaced sys.stderr for a while may close it.
        logger_factory=structlog.WriteLoggerFactory(file=sys.__stderr__),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(program=program)


class TelemetryServer:
    """Serves ``/metrics``, ``/healthz`` (the process runs) and ``/readyz`` (it does its work)."""

    def __init__(self, host: str, port: int, ready: Callable[[], bool], registry: CollectorRegistry = REGISTRY) -> None:
        self._host, self._port, self._ready, self._registry = host, port, ready, registry
        self._server: asyncio.Server | None = None
        self._connections = 0

    async def start(self) -> int:
        """Returns the port. Raises StartError when it is taken."""
        try:
            self._server = await asyncio.start_server(self._serve, self._host, self._port, limit=MAX_REQUEST_BYTES)
        except OSError as error:
            raise StartError(f"metrics port {self._host}:{self._port}: {error.strerror or error}") from error
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._connections >= MAX_CONNECTIONS:
            writer.close()
            return
        self._connections += 1
        try:
            async with asyncio.timeout(EXCHANGE_TIMEOUT_S):
                await self._exchange(reader, writer)
        except TimeoutError:
            writer.transport.abort()  # closing would wait for whoever does not read
        except (OSError, IndexError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # a scraper that goes away or talks nonsense is nobody's concern
        finally:
            self._connections -= 1
            writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        path = request.split(b" ", 2)[1].decode("ascii", "replace")
        status, body = self._answer(path)
        head = f"HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n"
        writer.write(f"{head}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body)
        await writer.drain()

    def _answer(self, path: str) -> tuple[str, bytes]:
        if path == "/metrics":
            return "200 OK", generate_latest(self._registry)
        if path == "/healthz":
            return "200 OK", b"alive\n"
        if path == "/readyz":
            return ("200 OK", b"ready\n") if self._ready() else ("503 Service Unavailable", b"not ready\n")
        return "404 Not Found", b"not found: /metrics /healthz /readyz\n"
