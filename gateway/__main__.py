"""The gateway's composition root: settings in, sockets and connections out, a clean drain at the end."""

from __future__ import annotations

import asyncio
import gc
import sys
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import nats.errors
import structlog
import uvloop
from prometheus_client import REGISTRY

from gateway.batcher import Batcher
from gateway.coap.aiocoap_lane import AiocoapLane
from gateway.coap.fast_lane import FastLane, Limits
from gateway.coap.firmware import FirmwareBehindOscore, FirmwareLane, FirmwareOnPort
from gateway.coap.lanes import Conversations
from gateway.coap.leases import keep_numbers
from gateway.coap.lwm2m.oscore import Lwm2mBehindOscore, ProtectedClients, ProtectedOnPort
from gateway.coap.lwm2m.resources import resources
from gateway.coap.lwm2m.udp import Lwm2mOnUdp
from gateway.coap.oscore.contexts import Contexts
from gateway.coap.oscore.journal import Journal, read_boot_id
from gateway.coap.oscore.key_ring import KeyRing
from gateway.coap.oscore.numbers import SenderNumbers
from gateway.coap.oscore.windows import Windows
from gateway.coap.port import backlog, bind
from gateway.coap.protected_lane import ProtectedLane
from gateway.coap.siblings import Siblings
from gateway.command_mirror import CommandMirror
from gateway.command_telling import CommandTelling
from gateway.custody import StreamCustody
from gateway.devices import Devices
from gateway.doors import OpenDoor, Parts, open_doors, open_lwm2m
from gateway.firmware import Images
from gateway.intake import Intake
from gateway.key_uses import KeyUses, tell_key_uses
from gateway.link import StreamLink
from gateway.metrics import Counters, GatewayCollector, Readings
from gateway.publisher import Publisher
from gateway.refusals import RefusalLimiter
from gateway.registry_mirror import RegistryMirror
from gateway.repeats import RepeatMemory
from gateway.stall import watch_stalls
from gateway.strangers import Strangers, tell_strangers
from metering.clock import now_us
from metering.credentials import MasterKeys, load_master_keys
from metering.errors import SettingsError
from metering.firmware_settings import FirmwareAddresses
from metering.heartbeat import beat
from metering.process import ended, on_stop_signal, run_program, say
from metering.settings import (
    DtlsSettings,
    FirmwareSettings,
    GatewaySettings,
    KeysSettings,
    LogSettings,
    Lwm2mSettings,
    NatsSettings,
    OscoreSettings,
    load,
)
from metering.streams import verify
from metering.telemetry import TelemetryServer

DRAIN_SPARE_S = 2.0
"""Beyond the publish deadline, for answers to get out."""

VERIFY_PAUSE_S = 1.0
GARBAGE_THRESHOLD = 50_000
"""New objects between two looks for cycles. Reports on their way are many objects and no cycle: at Python's 700 a tenth
of the time in custody went into looking at them."""

_log = structlog.get_logger()


class Gateway:
    """All parts of one process. Made inside the running loop; `bind` has happened when the constructor returns."""

    def __init__(self, settings: GatewaySettings, stream: NatsSettings) -> None:
        self._settings, self._stream = settings, stream
        self._socket = bind(settings.host, settings.port, settings.workers > 1)
        self.siblings = _siblings(settings)
        self._stop = asyncio.Event()
        self._stages: list[asyncio.Task[None]] = []
        self._verified = False
        self.counters = Counters(REGISTRY)
        self.link = StreamLink()
        self.devices = Devices()
        self.mirror = RegistryMirror(self.link, self.devices)
        self.memory = RepeatMemory()
        self.limiter = RefusalLimiter(settings.refusals_per_second / settings.workers)
        self.custody = _custody(settings, stream.partitions, self.link, self.memory, self.counters)
        self.telling = CommandTelling(self.link, now_us)
        firmware = load(FirmwareSettings)
        self.commands = CommandMirror(self.link, self.telling, time.time, address=_addresses(settings, firmware).of)
        self.strangers, self.key_uses = Strangers(), KeyUses(self.devices)
        intake = Intake(self.devices, self.custody, self.commands)
        limits = Limits(settings.max_payload_bytes, settings.retry_after_s)
        self.fast = FastLane(
            self._socket, intake, self.limiter, self.counters, limits, time.monotonic, self.siblings, self.strangers
        )  # fmt: skip
        master_keys = load_master_keys(load(KeysSettings))
        parts = Parts(
            settings, stream, intake, self.devices, self.commands, master_keys,
            self.limiter, self.counters, self.link, self.strangers, self.key_uses, self.fast.receive,
        )  # fmt: skip
        self.images = Images(Path(firmware.directory)) if firmware.directory else None
        self.firmware = FirmwareLane(
            self.images, self.commands, self.counters, firmware.max_transfers, settings.retry_after_s
        )  # fmt: skip
        self.lwm2m = open_lwm2m(parts, load(Lwm2mSettings), self.images)
        self.slow = AiocoapLane(
            intake, settings.retry_after_s, self.fast.send,
            resources=resources(self.lwm2m.server.requests, settings.retry_after_s),
        )  # fmt: skip
        self.numbers = SenderNumbers()
        self.protected = self._protected_lane(intake, master_keys)
        self.talks = Lwm2mOnUdp(self.lwm2m, self.slow, self.fast.send, self.siblings)
        self.clients = None if self.protected is None else ProtectedClients(
            self.protected.contexts, self.lwm2m, self.talks, self.fast.send, self.siblings, self.protected.want_numbers
        )  # fmt: skip
        self.doors: list[OpenDoor] = [self.lwm2m, *open_doors(parts)]
        self.telemetry = TelemetryServer(settings.metrics_host, settings.metrics_port, self.is_ready)
        REGISTRY.register(GatewayCollector(self.counters, self._gauges(), self._totals()))

    def is_ready(self) -> bool:
        """Whether a known meter's report would be taken into custody now."""
        return self._verified and self.devices.ready and self.link.connected.is_set()

    def _protected_lane(self, intake: Intake, master_keys: MasterKeys | None) -> ProtectedLane | None:
        if master_keys is None:
            return None
        settings, oscore, windows = self._settings, load(OscoreSettings), Windows()
        directory = oscore.directory or settings.workers_directory
        journal = None
        if directory:
            journal = Journal(Path(directory), settings.worker, settings.workers, windows, read_boot_id())
        ring = KeyRing(self.devices, master_keys, self.key_uses)
        return ProtectedLane(
            Contexts(ring, windows, self.numbers, journal, oscore.first_contact == "echo"),
            self.devices,
            intake,
            self.counters,
            settings.max_payload_bytes,
            settings.retry_after_s,
            time.monotonic,
            self.siblings,
        )

    async def run(self) -> None:
        """Serve until SIGTERM or SIGINT. Raises StartError when it cannot."""
        on_stop_signal(self._stop.set)
        metrics_port = await self.telemetry.start()
        await self.slow.start()
        # From here on meters get an answer: 5.03 until the registry is loaded, whatever else is away.
        talks: Conversations = self.talks
        if self.protected is not None and self.clients is not None:
            behind = Lwm2mBehindOscore(self.clients, self.lwm2m, self.slow)
            self.protected.start(self.fast, FirmwareBehindOscore(self.firmware, behind, time.monotonic))
            talks = ProtectedOnPort(self.clients, talks)
        self.fast.start(self.slow, self.protected, FirmwareOnPort(self.firmware, talks, self.fast.send))
        for door in self.doors:
            await door.start()
        async with asyncio.TaskGroup() as group:
            serving = group.create_task(self._serve(metrics_port), name="gateway")
            await self._stop.wait()
            await self._drain()
            await ended(*self._stages, serving)
        await self.link.close()
        self._socket.close()
        if self.siblings is not None:
            self.siblings.close()

    async def _serve(self, metrics_port: int) -> None:
        await self.link.connect(self._stream.url.get_secret_value(), self._stream.tls_ca)
        await self._verify()
        async with asyncio.TaskGroup() as group:
            stages: dict[str, Coroutine[Any, Any, None]] = {
                "registry mirror": self.mirror.run(),
                "custody": self.custody.run(),
                "command mirror": self.commands.run(),
                "command telling": self.telling.run(),
                "heartbeat": beat(self.link.tell, "gateway", REGISTRY),
                "strangers": tell_strangers(self.strangers, self.link.tell),
                "key uses": tell_key_uses(self.key_uses, self.link.tell),
                "stall watch": watch_stalls(self.counters.loop_stall_s.observe, time.monotonic),
            }
            if self.protected is not None:
                stages["OSCORE numbers"] = keep_numbers(self.numbers, self.protected.numbers_wanted, self.link)
            stages |= {f"door {door.name}": door.serve() for door in self.doors}
            self._stages = [group.create_task(work, name=name) for name, work in stages.items()]
            ports = {"port": self._socket.getsockname()[1], "metrics_port": metrics_port}
            for door in self.doors:
                ports |= door.ports()
            say(ready="gateway", worker=self._settings.worker, **ports)
            _log.info("gateway serves", worker=self._settings.worker, **ports)

    async def _verify(self) -> None:
        """Raises StreamContractError when the stream could forget; waits while nobody can say."""
        while True:
            try:
                await verify(self.link.js, self._stream.monitor_url or None, self._stream.replicas)
            except (nats.errors.Error, OSError, TimeoutError) as error:
                _log.warning("the stream cannot be checked yet, trying again", error=repr(error))
                await asyncio.sleep(VERIFY_PAUSE_S)
            else:
                self._verified = True
                return

    async def _drain(self) -> None:
        """Read no more, answer what was read."""
        self.fast.stop_reading()
        for door in self.doors:
            door.stop_reading()
        try:
            async with asyncio.timeout(self._settings.publish_timeout_s + DRAIN_SPARE_S):
                await self.custody.drained()
                await self.telling.drained()
        except TimeoutError:
            _log.warning("stopping with reports that have no answer", reports=self.custody.pending)
        if self.clients is not None:
            self.clients.stop()
        await self.slow.stop()  # its answers may go out by a door
        for door in self.doors:
            await door.stop()
        if self.protected is not None:
            self.protected.stop()
        if self.images is not None:
            self.images.close()
        await self.telemetry.stop()

    def _gauges(self) -> Readings:
        of_doors: dict[str, tuple[str, Callable[[], float]]] = {}
        for door in self.doors:
            of_doors |= door.gauges()
        if self.protected is not None:
            of_doors |= self.protected.gauges()
        if self.clients is not None:
            of_doors |= self.clients.gauges()
        of_doors |= self.firmware.gauges()
        return of_doors | {
            "pending_reports": ("Reports that wait for custody", lambda: self.custody.pending),
            "oldest_pending_seconds": ("Age of the report that waits longest", lambda: self.custody.oldest_s),
            "udp_waiting_bytes": ("Kernel memory of unread datagrams", lambda: backlog(self._socket).waiting_bytes),
            "inflight_batches": ("Batches without PubAck", lambda: self.custody.inflight),
            "registry_devices": ("Devices known", lambda: len(self.devices)),
            "registry_keys": ("Valid device keys known", lambda: self.devices.keys),
            "registry_ready": ("1 once the registry is loaded", lambda: self.devices.ready),
            "registry_feed_position": ("Last registry change applied", lambda: self.mirror.position),
            "registry_feed_lag_messages": ("Registry changes not applied yet", lambda: self.mirror.lag),
            "registry_rejected_changes": ("Registry changes that could not be read", lambda: self.mirror.rejected),
            "registry_snapshots_loaded": ("Registry snapshots loaded", lambda: self.mirror.snapshots),
            "strangers": ("Unknown names that wait to be told", lambda: len(self.strangers)),
            "commands_waiting_devices": ("Devices for which a command waits", lambda: len(self.commands)),
            "commands_position": ("Last message on waiting commands read", lambda: self.commands.position),
            "commands_rejected": ("Waiting commands not taken", lambda: self.commands.rejected),
            "commands_untold": ("News of commands not yet on disk", lambda: len(self.telling)),
            "commands_told_dropped": ("News of commands given up", lambda: self.telling.dropped),
            "refusal_prefixes": ("Source prefixes in the refusal table", lambda: len(self.limiter)),
            "repeat_memory_evictions": ("Repeats forgotten early", lambda: self.memory.evictions),
            "slow_lane_messages": ("Requests aiocoap remembers", lambda: self.slow.messages),
            "nats_connected": ("1 while NATS is there", self.link.connected.is_set),
            "nats_reconnects": ("Reconnections to NATS", lambda: self.link.reconnects),
        }

    def _totals(self) -> Readings:
        totals: dict[str, tuple[str, Callable[[], float]]] = {
            **self.firmware.totals(),
            "udp_dropped": ("Datagrams the kernel dropped unread", lambda: backlog(self._socket).dropped),
            "strangers_lost": ("Knocks of unknown devices that were not told", lambda: self.strangers.lost),
        }
        if self.protected is not None:
            totals |= self.protected.totals()
        if (siblings := self.siblings) is not None:
            totals |= {
                "passed_on_datagrams": ("Datagrams given to the worker that owns them", lambda: siblings.passed_on),
                "taken_over_datagrams": ("Datagrams that another worker gave", lambda: siblings.taken_over),
                "passed_on_lost_datagrams": ("Datagrams their owner could not take", lambda: siblings.lost),
            }
        return totals


def _custody(
    settings: GatewaySettings, partitions: int, link: StreamLink, memory: RepeatMemory, counters: Counters
) -> StreamCustody:
    return StreamCustody(
        Publisher(link, settings.publish_timeout_s),
        Batcher(settings.batch_ms / 1000),
        memory,
        counters,
        partitions,
        settings.max_pending_reports,
        settings.max_inflight_batches,
        time.monotonic,
        load(LogSettings).follow_one_in,
    )


def _addresses(settings: GatewaySettings, firmware: FirmwareSettings) -> FirmwareAddresses:
    return FirmwareAddresses(firmware, {"coap": settings.port, "coaps": load(DtlsSettings).port})


def _siblings(settings: GatewaySettings) -> Siblings | None:
    if settings.workers == 1:
        return None
    if not settings.workers_directory or settings.worker >= settings.workers:
        raise SettingsError("gateway.workers: start several workers with `nbwater gateway` or `nbwater up`")
    return Siblings(Path(settings.workers_directory), settings.worker, settings.workers)


async def serve() -> None:
    """The process, with the settings of its environment. Raises SettingsError and StartError."""
    settings, stream = load(GatewaySettings), load(NatsSettings)
    if not stream.url.get_secret_value():
        raise SettingsError("nats.url is empty: set NBWATER_NATS_URL or start the gateway with `nbwater up`")
    await Gateway(settings, stream).run()


def main() -> int:
    """The exit code, see `run_program`."""
    gc.set_threshold(GARBAGE_THRESHOLD)
    return run_program("gateway", serve, uvloop.run)


if __name__ == "__main__":
    sys.exit(main())
