"""Brings about each kind of fault, undoes it, and says what was seen of it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import asyncpg
import nats.errors
import structlog

from metering.errors import NbwaterError, StartError
from metering.streams import UP_STREAM
from simulators.chaos.network import CLEAR, Network, Relay
from simulators.chaos.plan import LONG_WEIGHTS, Fault, Kind
from simulators.chaos.platform import SECOND, GoneError, Platform, of_role
from simulators.chaos.stream import administrator, server_time_s
from simulators.reconcile import connect as connect_database

PATIENCE_S = 90.0
ASK_STREAM_S = 10.0
WAIT_FOR_VICTIM_S = 20.0
"""One that another fault has just killed comes back."""
POLL_S = 0.25
TAKEN = '"lease_taken"'
"""What a worker logs when the lease is its own."""

RESTEP_S = 0.5
"""A server that is started while its clock is to be wrong has a true one for so long."""
ASK_CLOCK_S = 2.0
CLOCK_TOLERANCE_S = 5.0
TOGETHER_S = 3.0
"""How long two ingest workers run beside one another after the first came back."""
log = structlog.get_logger()

Tell = Callable[[str], None]


class NotShownError(Exception):
    """What a fault was to show did not come: the platform behaved otherwise than it must."""


class Tormentor:
    """`run` one fault from beginning to end. Cancelled, it undoes what it did."""

    def __init__(self, platform: Platform, relay: Relay | Network, tell: Tell) -> None:
        self._platform, self._relay, self._tell = platform, relay, tell
        self._ways: dict[Kind, Callable[[Fault], Awaitable[str]]] = {
            Kind.KILL: self._kill,
            Kind.PAUSE: self._pause,
            Kind.PACKETS: self._packets,
            Kind.REBIND: self._rebind,
            Kind.CLOCK: self._clock,
            Kind.SERVER_CLOCK: self._server_clock,
            Kind.STREAM_FULL: self._stream_full,
            Kind.STREAM_DISK_FULL: self._stream_disk_full,
            Kind.BLACKOUT: self._blackout,
            Kind.SECOND_INGEST: self._second_ingest,
            Kind.DATABASE_AWAY: self._database_away,
            Kind.DATABASE_FULL: self._database_full,
            Kind.DATABASE_OLDER: self._database_older,
        }
        self._one_long_fault = asyncio.Lock()
        """On a busy machine one may take longer than planned; the next waits for it."""
        self._storms = 0
        self.done: dict[Kind, int] = {}
        self.missed: list[str] = []
        """Faults whose victim was not there: another fault had it."""
        self.not_shown: list[str] = []

    async def run(self, fault: Fault) -> None:
        async with self._one_long_fault if fault.kind in LONG_WEIGHTS else contextlib.nullcontext():
            self._tell(f"begins: {fault}")
            await self._run(fault)

    async def _run(self, fault: Fault) -> None:
        try:
            seen = await self._ways[fault.kind](fault)
        except GoneError as error:
            self.missed.append(f"{fault.kind} {fault.role}: {error}")
            self._tell(f"missed: {fault}: {error}")
        except NotShownError as error:
            self.not_shown.append(f"{fault.kind}: {error}")
            self._tell(f"NOT SHOWN: {fault}: {error}")
        except (NbwaterError, OSError) as error:
            self.not_shown.append(f"{fault.kind}: {error}")
            self._tell(f"NOT DONE: {fault}: {error}")
        else:
            self.done[fault.kind] = self.done.get(fault.kind, 0) + 1
            self._tell(f"over:   {fault}: {seen}")

    async def _victim(self, fault: Fault) -> str:
        """The program that is meant. Raises GoneError when there is none for a while."""
        deadline = time.monotonic() + WAIT_FOR_VICTIM_S
        while not (names := of_role(self._platform.programs(), fault.role)):
            if time.monotonic() >= deadline:
                raise GoneError(f"no {fault.role} runs")
            await asyncio.sleep(POLL_S)
        return names[int(fault.choice * len(names))]

    async def _kill(self, fault: Fault) -> str:
        victim = await self._victim(fault)
        return f"{victim}, process {self._platform.kill(victim)}"

    async def _blackout(self, fault: Fault) -> str:  # noqa: ARG002 - as all of them
        began = time.monotonic()
        try:
            await self._platform.black_out()
        except NbwaterError as error:
            raise NotShownError(f"it did not start again: {error}") from error
        return f"all serve again after {time.monotonic() - began:.0f} s"

    async def _pause(self, fault: Fault) -> str:
        victim = await self._victim(fault)
        frozen = self._platform.freeze(victim)
        try:
            await asyncio.sleep(fault.duration_s)
        finally:
            self._platform.thaw(frozen)
        return f"{victim}, {len(frozen)} processes"

    async def _packets(self, fault: Fault) -> str:
        lost, duplicated, delayed = self._relay.lost, self._relay.duplicated, self._relay.delayed
        self._storms += 1
        self._relay.weather = fault.weather
        try:
            await asyncio.sleep(fault.duration_s)
        finally:
            self._storms -= 1
            if not self._storms:  # of two at once the later rules, and the last to end clears
                self._relay.weather = CLEAR
        relay = self._relay
        return f"{relay.lost - lost} lost, {relay.duplicated - duplicated} twice, {relay.delayed - delayed} late"

    async def _rebind(self, fault: Fault) -> str:  # noqa: ARG002 - as all of them
        before = self._relay.rebound
        self._relay.rebind()
        return f"{self._relay.rebound - before} ports"

    async def _clock(self, fault: Fault) -> str:
        self._platform.step_clock(fault.role, fault.step_s)
        try:
            await asyncio.sleep(fault.duration_s)
        finally:
            self._platform.step_clock(fault.role, 0)
        return "right again"

    async def _server_clock(self, fault: Fault) -> str:
        """Seen to be wrong by the server's own word, unless it gave none: another fault had it all the time."""
        until = time.monotonic() + fault.duration_s
        seen, shown, trouble = "it said nothing meanwhile", False, ""
        try:
            while True:
                trouble = self._step_server(fault.role, fault.step_s)
                if not trouble and (told := await self._clock_of(fault.role)) is not None:
                    seen = f"it was {told - time.time():+.0f} s off"
                    trouble = seen
                    shown |= abs(told - time.time() - fault.step_s) < CLOCK_TOLERANCE_S
                if (left_s := until - time.monotonic()) <= 0:
                    break
                await asyncio.sleep(min(RESTEP_S, left_s))
        finally:
            self._step_server(fault.role, 0)
        if trouble and not shown:
            raise NotShownError(f"the clock of {fault.role} was not stepped: {trouble}")
        return f"{seen}, now right again"

    @contextlib.contextmanager
    def _stepped(self, role: str, seconds: float) -> Iterator[None]:
        if not seconds:
            yield
            return
        self._step_server(role, seconds)
        try:
            yield
        finally:
            self._step_server(role, 0)

    def _step_server(self, role: str, seconds: float) -> str:
        """Why it could not be done; a server that does not run has no clock to be stepped."""
        with contextlib.suppress(GoneError):
            try:
                self._platform.step_clock(role, seconds)
            except StartError as error:
                return str(error)
        return ""

    async def _clock_of(self, role: str) -> float | None:
        """The server's wall clock, unix; None when it does not answer soon."""
        try:
            async with asyncio.timeout(ASK_CLOCK_S):
                if role == "nats":
                    return await server_time_s(self._platform.nats_url)
                connection = await connect_database(self._platform.database_url, ASK_CLOCK_S)
                try:
                    return float(await connection.fetchval("SELECT extract(epoch FROM clock_timestamp())"))
                finally:
                    connection.terminate()
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, nats.errors.Error):
            return None

    async def _stream_full(self, fault: Fault) -> str:
        limit, held = await self._bound_stream(None)
        try:
            await asyncio.sleep(fault.duration_s)
        finally:
            await self._bound_stream(limit)
        return f"bound to {held} bytes, then {limit} again"

    async def _bound_stream(self, max_bytes: int | None) -> tuple[int, int]:
        """Set the stream's bound (None: to what it holds); its former bound and what it holds. Patient."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                async with asyncio.timeout(ASK_STREAM_S), administrator(self._platform.nats_url) as js:
                    info = await js.stream_info(UP_STREAM)
                    wanted = max(1, info.state.bytes) if max_bytes is None else max_bytes
                    await js.update_stream(info.config.evolve(max_bytes=wanted))
                    return int(info.config.max_bytes or 0), int(info.state.bytes)
            except (OSError, TimeoutError, nats.errors.Error) as error:
                if time.monotonic() >= deadline:
                    raise NotShownError(f"NATS does not answer: {error}") from error
                await asyncio.sleep(POLL_S)

    async def _database_away(self, fault: Fault) -> str:
        await self._victim(fault._replace(role="postgres"))
        self._platform.take_database_away()
        try:
            await asyncio.sleep(fault.duration_s)
        finally:
            self._platform.bring_database_back()
        return "its directory is back"

    async def _database_full(self, fault: Fault) -> str:
        return await self._disk_full("postgres", fault)

    async def _stream_disk_full(self, fault: Fault) -> str:
        return await self._disk_full("nats", fault)

    async def _disk_full(self, server: str, fault: Fault) -> str:
        before = self._complaints(server)
        self._platform.fill_disk(server)
        try:
            await asyncio.sleep(fault.duration_s)
        finally:
            self._platform.empty_disk(server)
        return f"{server} complained {self._complaints(server) - before} times"

    def _complaints(self, server: str) -> int:
        return self._platform.said(server).lower().count("no space left on device")

    async def _database_older(self, fault: Fault) -> str:
        """The copy is made at the beginning and put back at the end; what came between must be taken again."""
        await self._database(lambda connection: connection.fetchval("SELECT 1"))
        await self._platform.copy_database()
        await asyncio.sleep(fault.duration_s)
        taken = await self._database(_taken)
        self._platform.put_copy_back()
        copied = await self._database(_taken)
        return f"watermark {taken}, soon after the replacement {copied}"

    async def _second_ingest(self, fault: Fault) -> str:
        platform = self._platform
        first = await self._victim(fault._replace(role="ingest"))
        fences = [await self._database(_fence)]
        platform.start_second_ingest(beside=first)
        try:
            await self._until(lambda: '"standby"' in platform.said(SECOND), "the second worker stands by")
            fenced = platform.said(first).count('"fenced"')
            interrupted = platform.said(first).count('"ingest_interrupted"')
            frozen = platform.freeze(first)
            try:
                with self._stepped("postgres", fault.step_s):
                    # By its own word: a fence that rises may be the first's, who lost the lease to an earlier fault.
                    await self._until(lambda: TAKEN in platform.said(SECOND), "the second worker takes the lease")
                    fences.append(await self._database(_fence))
            finally:
                platform.thaw(frozen)
            await asyncio.sleep(TOGETHER_S)
            said = platform.said(first)
        finally:
            await platform.end_second_ingest()
        fences.append(await self._until_fence(fences[-1], "the first worker takes the lease again"))
        fenced, interrupted = said.count('"fenced"') - fenced, said.count('"ingest_interrupted"') - interrupted
        return f"fence {' → '.join(map(str, fences))}; the first: FencedError {fenced}, interrupted {interrupted}"

    async def _until(self, condition: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            if time.monotonic() >= deadline:
                raise NotShownError(f"not within {PATIENCE_S:.0f} s: {what}")
            await asyncio.sleep(POLL_S)

    async def _until_fence(self, above: int, what: str) -> int:
        deadline = time.monotonic() + PATIENCE_S
        while (fence := int(await self._database(_fence))) <= above:
            if time.monotonic() >= deadline:
                raise NotShownError(f"not within {PATIENCE_S:.0f} s: {what}")
            await asyncio.sleep(POLL_S)
        return fence

    async def _database(self, ask: Callable[[Any], Awaitable[Any]]) -> Any:
        """Ask the database, which may be starting. Raises NotShownError when it does not answer in time."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                connection = await connect_database(self._platform.database_url, PATIENCE_S)
                try:
                    return await asyncio.wait_for(ask(connection), PATIENCE_S)
                finally:
                    await connection.close(timeout=5)
            except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
                if time.monotonic() >= deadline:
                    raise NotShownError(f"the database does not answer: {error}") from error
                await asyncio.sleep(POLL_S)


async def _taken(connection: Any) -> int:
    return int(await connection.fetchval("SELECT coalesce(sum(sequence), 0) FROM watermarks"))


async def _fence(connection: Any) -> int:
    return int(await connection.fetchval("SELECT coalesce(sum(fence), 0) FROM watermarks"))
