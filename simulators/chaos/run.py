"""One run: a platform of its own under load, the planned faults, calm, and the comparison of sets."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import asyncpg
import nats.errors

from metering.settings import UtilitySettings, load
from simulators.admission import TargetError
from simulators.chaos import accounts, settled
from simulators.chaos.calm import until_calm, until_known
from simulators.chaos.faults import Tormentor
from simulators.chaos.fleet import TIMERS, Fleet
from simulators.chaos.network import CLEAR, Network
from simulators.chaos.plan import Fault, Kind, plan
from simulators.chaos.platform import Platform, role_of
from simulators.chaos.verdict import Verdict
from simulators.coap import Sender
from simulators.doors.open import key_row_for, ways
from simulators.doors.way import Way
from simulators.keys import first_number
from simulators.load import import_row
from simulators.reconcile import connect, reconcile
from simulators.synthetic import Plan, serial
from simulators.synthetic import plan as plan_load
from simulators.target import DOORS

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
    doors: Sequence[str] = DOORS
    """Those that are open are used, a share of the meters each."""


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
        doors = [door for door in options.doors if door in platform.places.open()]
        await self._register(planned, doors)
        async with (
            self._network() as network,
            Sender("127.0.0.1", network.ports[0], ports=PORTS, timers=TIMERS) as sender,
        ):
            tormentor = Tormentor(platform, network, self._tell)
            places = replace(
                platform.places,
                coap_port=network.ports[0],
                coaps_port=network.ports[-1] if platform.places.coaps_port else 0,
            )
            opened = ways(places, doors, sender, TIMERS, first_number(time.time()))
            fleet = Fleet(planned, options.reports_per_second, options.seed, list(opened.values()))
            try:
                await fleet.open_doors()
                self._tell(f"load: {planned.reports} reports of {planned.meters} meters by {', '.join(doors)}")
                await self._play(fleet, tormentor, faults)
            finally:
                await _close(opened.values())
            network.weather = CLEAR
            verdict.sender = sender.counts
            verdict.took_network(network)
        verdict.took_load(fleet)
        verdict.took_faults(tormentor)
        self._tell("no more load; waiting until all is calm")
        await self._judge(fleet, verdict)
        verdict.seconds_taken = time.monotonic() - self._began
        return verdict

    async def _register(self, planned: Plan, doors: Sequence[str]) -> None:
        """Raises TargetError when not every gateway worker knows all meters and keys in time."""
        platform = self._platform
        await platform.register(
            [
                import_row(meter) | platform.places.binding(doors[meter % len(doors)])
                for meter in range(planned.meters)
            ]
        )  # fmt: skip
        keys = [
            row
            for meter in range(planned.meters)
            if (row := key_row_for(doors[meter % len(doors)], serial(meter), serial(meter))) is not None
        ]
        if keys:
            await platform.enrol(keys)
        if behind := await until_known(platform, planned.meters, len(keys), DOOR_S):
            raise TargetError(f"not within {DOOR_S:.0f} s: {behind}")

    def _network(self) -> Network:
        places = self._platform.places
        ports = [places.coap_port, places.coaps_port] if places.coaps_port else [places.coap_port]
        return Network(places.host, ports, self._options.seed)

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

    async def _play(self, fleet: Fleet, tormentor: Tormentor, faults: Collection[Fault]) -> None:
        """Load and faults side by side; returns when both have ended."""
        start = time.monotonic()

        async def at_its_time(fault: Fault) -> None:
            await asyncio.sleep(start + fault.at_s - time.monotonic())
            await tormentor.run(fault)

        showing = asyncio.create_task(self._show(fleet))
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(fleet.play(), name="load")
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
            verdict.not_shown.append(f"the sets could not be compared: {str(error) or type(error).__name__}")

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


async def _close(opened: Collection[Way]) -> None:
    for way in opened:
        await way.close()
