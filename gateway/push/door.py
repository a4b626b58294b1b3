"""The push door as a part of the gateway: its port, its spool, its watch over gaps, and what outlives the process.

Only the first worker of a host has it: one process takes more pushes than a province sends, and one owns the spool.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Mapping
from pathlib import Path

import structlog
from prometheus_client import REGISTRY

from gateway.commands import RecallableCommands
from gateway.devices import Devices
from gateway.intake import Intake
from gateway.link import StreamLink
from gateway.metrics import Readings
from gateway.push.aliases import Aliases
from gateway.push.counts import Counts, PushCollector
from gateway.push.desk import Desk
from gateway.push.http import SWEEP_S, Connections
from gateway.push.north.courier import Courier
from gateway.push.port import Port
from gateway.push.products import Product, Pushers, load_products
from gateway.push.spool import Spool
from gateway.push.taking import Taking
from gateway.push.tls import changed_at, load_certificate, server_context
from gateway.push.turns import Turns
from gateway.push.watch import GapWatch
from gateway.refusals import RefusalLimiter
from gateway.strangers import Strangers
from metering.errors import SettingsError
from metering.settings import PushSettings

SAVE_S = 60.0
FLUSH_S = 10.0
_log = structlog.get_logger()


class PushDoor:
    """Made inside the running loop; `start` binds the port."""

    name = "push"

    def __init__(
        self,
        settings: PushSettings,
        products: tuple[Product, ...],
        intake: Intake,
        devices: Devices,
        commands: RecallableCommands,
        link: StreamLink,
        limiter: RefusalLimiter,
        strangers: Strangers,
    ) -> None:
        """Raises StartError when a certificate or the directory cannot be used, SettingsError without a directory."""
        if not settings.directory:
            raise SettingsError("push.directory is empty: the door needs a place for its spool")
        self._settings, self._tls, directory = settings, server_context(settings), Path(settings.directory)
        self.counts, self.aliases = Counts(), Aliases()
        self.spool = Spool(directory, settings.spool_max_bytes)
        self.spool.open()
        self.taking = Taking(intake, devices, link, self.spool, settings.deadline_s, time.monotonic)
        self.watch = GapWatch(directory, [product.name for product in products], self.counts, time.time)
        self.courier = Courier(products, commands, self.aliases, devices, directory, self.counts, settings.ca)
        self.turns = Turns(
            settings.messages_per_second_per_product, settings.max_connections, time.monotonic,
            asyncio.get_running_loop().call_later,
        )  # fmt: skip
        self.desk = Desk(
            Pushers(products), devices, self.aliases, self.taking, self.watch, limiter, self.counts, self.courier,
            time.monotonic, strangers, self.turns,
        )  # fmt: skip
        self.connections = Connections(self.desk, settings.max_connections, time.monotonic)
        self.port = Port(self.connections, self._tls, self.desk.may_come)
        self._accepting: asyncio.Task[None] | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._seen = self._files()
        self._load_aliases(products)

    def ports(self) -> Mapping[str, int]:
        return {"push_port": self.port.number}

    async def start(self) -> None:
        """Takes pushes at once, into the spool while the stream is not there. Raises StartError."""
        self.port.open(self._settings.host, self._settings.port)
        REGISTRY.register(PushCollector(self.counts, self.watch.silent, self.watch.last))
        for work in (self.spool.run(), self._keep_watch()):
            self._tasks.append(asyncio.create_task(work))
        self._accepting = asyncio.create_task(self.port.accept())

    async def serve(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self.taking.serve(), name="push taking")
            group.create_task(self.courier.run(), name="push commands")

    def stop_reading(self) -> None:
        if self._accepting is not None:
            self._accepting.cancel()
        self.taking.stop()
        self.connections.close()

    async def stop(self) -> None:
        """What custody has not answered goes to the spool, so that every push has its answer."""
        self.turns.take_all_now()
        self.taking.to_spool_now()
        try:
            async with asyncio.timeout(FLUSH_S):
                await self.spool.flushed()
        except TimeoutError:
            _log.error("spool_not_flushed", bytes=self.spool.size_bytes)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.port.close()
        self.watch.save()
        self.spool.close()

    def gauges(self) -> Readings:
        spool, taking, connections, port = self.spool, self.taking, self.connections, self.port
        return {
            "push_connections": ("Connections of the push port", lambda: len(connections)),
            "push_turned_away": (
                "Connections closed because there were too many, or from where nobody pushes",
                lambda: connections.turned_away + port.turned_away,
            ),
            "push_failed_handshakes": ("TLS handshakes that failed", lambda: port.failed_handshakes),
            "push_overdue_connections": ("Connections closed for being slow", lambda: connections.overdue),
            "push_waiting_pushes": ("Pushes that wait for their product's turn", lambda: len(self.turns)),
            "push_direct_reports": ("Reports of pushes taken by the stream itself", lambda: taking.direct),
            "push_spooled_reports": ("Reports of pushes that went to the spool", lambda: taking.spooled),
            "push_drained_reports": ("Reports out of the spool in custody", lambda: taking.drained),
            "push_overdue_reports": ("Reports that custody kept waiting", lambda: taking.overdue),
            "push_spool_refused_reports": ("Reports that not even the spool could take", lambda: taking.refused),
            "push_spool_bytes": ("Bytes in the spool", lambda: spool.size_bytes),
            "push_spool_fsyncs": ("Groups written to the spool", lambda: spool.fsyncs),
            "push_spool_failures": ("Groups that the disk did not take", lambda: spool.failures),
            "push_spool_torn": ("Spool segments that ended in a broken record", lambda: spool.torn),
            "push_aliases": ("Platform ids known", lambda: len(self.aliases)),
            "push_open_commands": ("Commands that a platform has", lambda: len(self.courier)),
            "push_commands_asked_again": (
                "Commands that a platform could not be asked to give back yet",
                lambda: self.courier.asked_again,
            ),
        }

    async def _keep_watch(self) -> None:
        """Small things that are due now and then; a fault of one must not end the others."""
        saved = time.monotonic()
        while True:
            await asyncio.sleep(SWEEP_S)
            self.connections.sweep()
            self.watch.look()
            self._read_again()
            if time.monotonic() - saved > SAVE_S:
                saved = time.monotonic()
                await asyncio.to_thread(self.watch.save)

    def _files(self) -> tuple[float, ...]:
        settings = self._settings
        return changed_at(settings.products_file, settings.tls_certificate, settings.tls_key)

    def _read_again(self) -> None:
        """Products and certificate when their files have changed; what cannot be read leaves all as it was."""
        seen = self._files()
        if seen == self._seen:
            return
        self._seen = seen
        try:
            products = load_products(self._settings.products_file)
            if self._tls is not None:
                load_certificate(self._tls, self._settings)
        except (SettingsError, OSError, ssl.SSLError) as error:
            _log.error("push_settings_not_read", error=str(error))
            return
        self.desk.use(Pushers(products))
        self.watch.keep([product.name for product in products])
        self.courier.use(products)
        self._load_aliases(products)
        _log.info("push_settings_read_again", products=[product.name for product in products])

    def _load_aliases(self, products: tuple[Product, ...]) -> None:
        for product in products:
            if product.aliases_file:
                try:
                    with open(product.aliases_file, encoding="utf-8") as lines:
                        taken = self.aliases.load(lines, product.name)
                except (OSError, UnicodeDecodeError) as error:
                    _log.error("push_aliases_not_read", product=product.name, error=type(error).__name__)
                else:
                    _log.info("push_aliases_read", product=product.name, devices=taken)
