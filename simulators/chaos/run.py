"""One run: a platform of its own under load, the planned faults, calm, and the comparison of sets."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import UTC, datetime

import asyncpg
import nats.errors

from metering.settings import UtilitySettings, load
from simulators.admission import TargetError
from simulators.chaos import accounts, settled
from simulators.chaos.calm import until_calm, until_known
from simulators.chaos.faults import Tormentor
from simulators.chaos.fleet import TIMERS, Fleet
from simulators.chaos.network import CLEAR, Relay
from simulators.chaos.plan import Fault, Kind, plan
from simulators.chaos.platform import Platform, role_of
from simulators.chaos.verdict import Verdict
from simulators.coap import Sender
from simulators.load import import_row
from simulators.reconcile import connect, reconcile
from simulators.synthetic import plan as plan_load

LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)
"""Everything in a database of the run's own is of the run, whatever the stepped clocks said."""
DOOR_S = 60.0
SHOW_EVERY_S = 10.0
PORTS = 32


@dataclass(frozen=True, slots=True)
class ChaosOptions:
    seed: int
    seconds: float
    kinds: Collection[Kind]
    reports_per_second: float = 120.0
    meters: int = 240
    calm_within_s: float = 240.0


class Chaos:
    """`run` starts the platform and leaves it running for whoever wants to look; the caller stops it."""

    def __init__(self, platform: Platform, options: ChaosOptions, tell: Callable[[str], None]) -> None:
        self._platform, self._options = platform, options
        self._say, self._began = tell, time.monotonic()

    def _tell(self, text: str) -> None:
        self._say(f"{time.monotonic() - self._began:7.1f}  {text}")

    async def run(self) -> Verdict:
        options, platform = self._options, self._platform
        self._tell(f"starting a platform in {platform.data}")
        await platform.start()
        faults = self._plan()
        verdict = Verdict(options.seed, options.seconds, [str(fault) for fault in faults])
        planned = plan_load(options.reports_per_second, options.seconds, options.meters, 24, time.time(), 0)
        await platform.register([import_row(meter) for meter in range(planned.meters)])
        fleet = Fleet(planned, options.reports_per_second, options.seed)
        async with Relay("127.0.0.1", platform.coap_port, options.seed) as relay:
            tormentor = Tormentor(platform, relay, self._tell)
            async with Sender("127.0.0.1", relay.port, ports=PORTS, timers=TIMERS) as sender:
                await fleet.open_door(sender)
                if behind := await until_known(platform, planned.meters, DOOR_S):
                    raise TargetError(f"not within {DOOR_S:.0f} s: {behind}")
                self._tell(f"load: {planned.reports} reports of {planned.meters} meters through port {relay.port}")
                await self._play(fleet, sender, tormentor, faults)
                relay.weather = CLEAR
                verdict.sender = sender.counts
            verdict.took_network(relay)
        verdict.took_load(fleet)
        verdict.took_faults(tormentor)
        self._tell("no more load; waiting until all is calm")
        await self._judge(fleet, verdict)
        verdict.seconds_taken = time.monotonic() - self._began
        return verdict

    def _plan(self) -> tuple[Fault, ...]:
        options, platform = self._options, self._platform
        for kind, reason in platform.impossible.items():
            if kind in options.kinds:
                self._tell(f"NOT POSSIBLE here: {kind}: {reason}")
        roles = sorted({role_of(name) for name in platform.programs()})
        possible = [kind for kind in options.kinds if kind not in platform.impossible]
        faults = plan(options.seed, options.seconds, roles, possible)
        self._tell(f"the plan of seed {options.seed} for {options.seconds:.0f} s over {', '.join(roles)}:")
        for fault in faults:
            self._tell(f"    {fault}")
        return faults

    async def _play(self, fleet: Fleet, sender: Sender, tormentor: Tormentor, faults: Collection[Fault]) -> None:
        """Load and faults side by side; returns when both have ended."""
        start = time.monotonic()

        async def at_its_time(fault: Fault) -> None:
            await asyncio.sleep(start + fault.at_s - time.monotonic())
            await tormentor.run(fault)

        showing = asyncio.create_task(self._show(fleet))
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(fleet.play(sender), name="load")
                for fault in faults:
                    group.create_task(at_its_time(fault), name=str(fault))
        finally:
            showing.cancel()

    async def _show(self, fleet: Fleet) -> None:
        while True:
            await asyncio.sleep(SHOW_EVERY_S)
            self._tell(
                f"{fleet.offered} sent, {fleet.answered} answered, {fleet.refused} refused, "
                f"{fleet.unknown} given up, {fleet.sent_again} sent again"
            )

    async def _judge(self, fleet: Fleet, verdict: Verdict) -> None:
        platform = self._platform
        started = time.monotonic()
        verdict.unrest = await until_calm(platform, self._options.calm_within_s)
        verdict.calm_after_s = time.monotonic() - started
        self._tell(f"NOT CALM: {verdict.unrest}" if verdict.unrest else f"calm after {verdict.calm_after_s:.0f} s")
        try:
            await self._compare(fleet, verdict)
        except (OSError, TimeoutError, nats.errors.Error, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            verdict.not_shown.append(f"the sets could not be compared: {error or type(error).__name__}")

    async def _compare(self, fleet: Fleet, verdict: Verdict) -> None:
        platform = self._platform
        verdict.reports = await reconcile(
            platform.database_url, fleet.ledgers(), LONG_AGO, max_wait_s=30.0, quiet_s=5.0
        )
        received = await accounts.read_stream(platform.nats_url)
        timezone = load(UtilitySettings).timezone
        connection = await connect(platform.database_url)
        try:
            verdict.books = await accounts.audit(connection, received, timezone)
            verdict.settled = await settled.compare_days(connection, timezone)
        finally:
            await connection.close()
