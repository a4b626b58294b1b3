"""The ingest worker's composition root: settings in, connections and stages out, a clean drain at the end.

``consumer`` (a datagram's batch enters) → ``classify`` (it becomes readings) → ``pipeline`` and ``writer`` (they are
stored) are driven by ``worker``; beside it run settlement, silence, the registry's publisher, the trimmer, retention.
"""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import Awaitable, Callable
from typing import Any, Protocol, TypeVar

import asyncpg
import nats.errors
import structlog
import uvloop
from nats.aio.client import Client

from metering.errors import SettingsError
from metering.process import on_stop_signal, run_program, say
from metering.settings import DatabaseSettings, IngestSettings, NatsSettings, UtilitySettings, load
from metering.stream_connection import connect
from metering.streams import verify
from metering.telemetry import TelemetryServer

from .leaks.stage import SilenceStage
from .registry.publisher import RegistryPublisher
from .retention import RetentionStage
from .schema.migrate import check
from .settlement import SettlementStage
from .trimmer import Trimmer
from .worker import Worker

log = structlog.get_logger()

POOL_CONNECTIONS = 10
CONNECT_TIMEOUT_S = 10.0
RETRY_S = 1.0
DRAIN_S = 20.0
"""For the transaction in hand; after it the process ends without, and the stream delivers again."""

GC_THRESHOLD = 300_000
"""New objects between two garbage collections: more than the two batches under way consist of. They are freed by their
reference counts; at Python's 700 the collector walks through them, and through the remembered registry, again and again
for a fifth of the worker's time."""

T = TypeVar("T")


class Stage(Protocol):
    async def run(self) -> None:
        """Until cancelled."""


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
        if self._settings.partition >= self._nats.partitions:
            raise SettingsError(f"ingest.partition {self._settings.partition}: there are {self._nats.partitions}")
        self._stop = asyncio.Event()
        self._worker: Worker | None = None

    def is_ready(self) -> bool:
        """Whether the worker reads the stream or stands by for one that does."""
        return self._worker is not None and (self._worker.consuming or self._worker.standing_by)

    async def run(self) -> None:
        """Until SIGTERM or SIGINT. Raises StartError when it cannot serve; what is merely away is waited for."""
        on_stop_signal(self._stop.set)
        telemetry = TelemetryServer(self._settings.metrics_host, self._settings.metrics_port, self.is_ready)
        metrics_port = await telemetry.start()
        serving = asyncio.create_task(self._serve(metrics_port), name="ingest")
        stopping = asyncio.create_task(self._stop.wait(), name="stop")
        await asyncio.wait((serving, stopping), return_when=asyncio.FIRST_COMPLETED)
        if self._worker is None:
            serving.cancel()
        stopping.cancel()
        outcome = (await asyncio.gather(serving, stopping, return_exceptions=True))[0]
        await telemetry.stop()
        if isinstance(outcome, Exception):
            raise outcome

    async def _serve(self, metrics_port: int) -> None:
        pool = await _patiently("database", self._open_pool)
        client = await _patiently("stream", self._connect)
        try:
            await self._run_stages(pool, client, metrics_port)
        finally:
            await client.close()
            try:
                await asyncio.wait_for(pool.close(), CONNECT_TIMEOUT_S)
            except TimeoutError:
                pool.terminate()

    async def _open_pool(self) -> Any:
        pool = await asyncpg.create_pool(
            self._database.url.get_secret_value(),
            min_size=1,
            max_size=POOL_CONNECTIONS,
            timeout=CONNECT_TIMEOUT_S,
            server_settings={"application_name": "nbwater-ingest", "jit": "off"},
        )
        async with pool.acquire() as connection:
            await check(connection)
        return pool

    async def _connect(self) -> Client:
        client = await connect(self._nats.url.get_secret_value(), "ingest")
        try:
            await verify(client.jetstream(), self._nats.monitor_url or None)
        except BaseException:
            await client.close()
            raise
        return client

    async def _run_stages(self, pool: Any, client: Client, metrics_port: int) -> None:
        settings, zone, js = self._settings, self._utility.zone, client.jetstream()
        worker = self._worker = Worker(pool, js, settings, zone)
        stages: dict[str, Stage] = {
            "settlement": SettlementStage(pool, settings, zone),
            "silence": SilenceStage(pool, settings),
            "registry": RegistryPublisher(pool, js),
            "trimmer": Trimmer(pool, js, self._nats.partitions, settings.keep_stream_h),
            "retention": RetentionStage(pool, settings.keep_raw_days),
        }
        async with asyncio.TaskGroup() as group:
            taking = group.create_task(worker.run(), name="worker")
            beside = [group.create_task(stage.run(), name=name) for name, stage in stages.items()]
            say(ready="ingest", port=metrics_port, metrics_port=metrics_port)
            log.info("ingest_runs", metrics_port=metrics_port)
            await self._stop.wait()
            worker.stop()
            await asyncio.wait((taking,), timeout=DRAIN_S)
            for task in (taking, *beside):
                task.cancel()


async def _patiently(what: str, attempt: Callable[[], Awaitable[T]]) -> T:
    """Try until it is there. Refusals of ours (schema, contract) and wrong credentials are not waited out."""
    while True:
        try:
            return await attempt()
        except (asyncpg.InvalidAuthorizationSpecificationError, asyncpg.InvalidCatalogNameError) as error:
            raise SettingsError(f"the {what} refuses us: {error}") from error
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, nats.errors.Error) as error:
            log.warning("waiting_for", what=what, error=type(error).__name__, detail=str(error)[:200])
            await asyncio.sleep(RETRY_S)


async def serve() -> None:
    """The process, with the settings of its environment. Raises SettingsError and StartError."""
    await Ingest().run()


def main() -> int:
    """The exit code, see `run_program`."""
    gc.set_threshold(GC_THRESHOLD)
    return run_program("ingest", serve, uvloop.run)


if __name__ == "__main__":
    sys.exit(main())
