"""The ingest worker's composition root: settings in, connections and stages out, a clean drain at the end.

``consumer`` (a datagram's batch enters) → ``classify`` and ``placing`` (it becomes readings) → ``pipeline`` and
``writer`` (they are stored) are driven by ``worker``; beside it run the registry's publisher and the trimmer. What the
readings mean is the business of another process: ``ingest.settlement``.
"""

from __future__ import annotations

import asyncio
import gc
import sys
from datetime import UTC, datetime
from functools import partial
from typing import Any

import structlog
import uvloop
from nats.aio.client import Client
from prometheus_client import REGISTRY

from metering.errors import SettingsError
from metering.heartbeat import beat
from metering.process import ended, run_program, say
from metering.settings import DatabaseSettings, IngestSettings, NatsSettings, UtilitySettings, load
from metering.stream_connection import connect
from metering.streams import verify
from metering.telemetry import TelemetryServer

from .commands.publisher import CommandPublisher
from .commands.told import CommandsTold
from .dialects import decoders_of
from .program import Stage, close_pool, open_pool, patiently, serve_until_stopped
from .registry.gateway_ear import GatewayEar
from .registry.publisher import RegistryPublisher
from .stream_watch import StreamWatch
from .trimmer import Trimmer
from .worker import Worker

log = structlog.get_logger()

POOL_CONNECTIONS = 12
DRAIN_S = 20.0
"""For the transaction in hand; after it the process ends without, and the stream delivers again."""

GC_THRESHOLD = 300_000
"""New objects between two garbage collections: more than the two batches under way consist of. They are freed by their
reference counts; at Python's 700 the collector walks through them, and through the remembered registry, again and again
for a fifth of the worker's time."""


class Ingest:
    """All parts of one process."""

    def __init__(self) -> None:
        self._settings, self._nats = load(IngestSettings), load(NatsSettings)
        self._database, self._utility = load(DatabaseSettings), load(UtilitySettings)
        for section, secret in (("database", self._database.url), ("nats", self._nats.url)):
            if not secret.get_secret_value():
                raise SettingsError(
                    f"{section}.url is empty: set NBWATER_{section.upper()}_URL or start ingest with `nbwater up`"
                )
        decoders_of(self._settings)  # a file that cannot be used is said before anything is waited for
        if self._settings.partition >= self._nats.partitions:
            raise SettingsError(f"ingest.partition {self._settings.partition}: there are {self._nats.partitions}")
        self._stop = asyncio.Event()
        self._worker: Worker | None = None

    def is_ready(self) -> bool:
        """Whether the worker reads the stream or stands by for one that does."""
        return self._worker is not None and (self._worker.consuming or self._worker.standing_by)

    async def run(self) -> None:
        """Until SIGTERM or SIGINT. Raises StartError when it cannot serve; what is merely away is waited for."""
        telemetry = TelemetryServer(self._settings.metrics_host, self._settings.metrics_port, self.is_ready)
        await serve_until_stopped(telemetry, self._stop, self._serve, lambda: self._worker is not None)

    async def _serve(self, metrics_port: int) -> None:
        url = self._database.url.get_secret_value()
        abandoned = {"idle_in_transaction_session_timeout": f"{self._settings.lease_s:.0f}s"}
        pool = await patiently("database", lambda: open_pool(url, "ingest", POOL_CONNECTIONS, **abandoned))
        client = await patiently("stream", self._connect)
        try:
            await self._run_stages(pool, client, metrics_port)
        finally:
            await client.close()
            await close_pool(pool)

    async def _connect(self) -> Client:
        client = await connect(self._nats.url.get_secret_value(), "ingest", self._nats.tls_ca)
        try:
            await verify(client.jetstream(), self._nats.monitor_url or None, self._nats.replicas)
        except BaseException:
            await client.close()
            raise
        return client

    async def _run_stages(self, pool: Any, client: Client, metrics_port: int) -> None:
        settings, zone, js = self._settings, self._utility.zone, client.jetstream()
        worker = self._worker = Worker(pool, js, settings, zone)
        stages: dict[str, Stage] = {}
        if settings.partition == 0:  # what there is once, however many the partitions
            stages["registry"] = RegistryPublisher(pool, js)
            stages["gateways' words"] = GatewayEar(pool, client)
            stages["commands"] = CommandPublisher(pool, js, partial(datetime.now, UTC))
            stages["commands told"] = CommandsTold(pool, js)
            stages["stream watch"] = StreamWatch(pool, js, self._nats.partitions)
            stages["trimmer"] = Trimmer(pool, js, self._nats.partitions, settings.keep_stream_h)
        async with asyncio.TaskGroup() as group:
            taking = group.create_task(worker.run(), name="worker")
            beside = [group.create_task(stage.run(), name=name) for name, stage in stages.items()]
            beside.append(group.create_task(beat(client.publish, "ingest", REGISTRY), name="heartbeat"))
            say(ready="ingest", port=metrics_port, metrics_port=metrics_port)
            log.info("ingest_runs", metrics_port=metrics_port)
            await self._stop.wait()
            worker.stop()
            await asyncio.wait((taking,), timeout=DRAIN_S)
            await ended(taking, *beside)


async def serve() -> None:
    """The process, with the settings of its environment. Raises SettingsError and StartError."""
    await Ingest().run()


def main() -> int:
    """The exit code, see `run_program`."""
    gc.set_threshold(GC_THRESHOLD)
    return run_program("ingest", serve, uvloop.run)


if __name__ == "__main__":
    sys.exit(main())
