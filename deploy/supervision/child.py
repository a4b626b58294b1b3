"""One supervised child process: started, watched, started again when it dies, ended in good order."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from deploy.supervision.backoff import Backoff
from deploy.supervision.parent_death import dies_with_parent
from metering.errors import StartError

READY_POLL_S = 0.05
MAX_LINE_BYTES = 64 * 1024
CHUNK_BYTES = 64 * 1024

Tell = Callable[[str], None]
"""Says one line to the person at the terminal."""


@dataclass(slots=True)
class Spec:
    """What to run. Without `probe` the program says itself that it is ready, by a line of JSON on stdout."""

    name: str
    command: Sequence[str]
    environment: dict[str, str]
    identity: Mapping[str, Any] = field(default_factory=dict)
    """Arguments of `subprocess.Popen` that change the user."""
    probe: Callable[[], bool] | None = None
    """Asks a server whether it is ready; may block for a moment."""
    before_start: Callable[[], None] | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    stop_timeout_s: float = 20
    start_timeout_s: float = 60
    relayed: str = ""
    """Lines that begin so are said at the terminal too; empty: none."""
    broken: str = ""
    """A line with these words says that it lives and cannot do its work until it is started again; empty: none does."""
    niceness: int = 0
    """Added to the priority number: who has more yields when the CPU is short."""
    orphan_signal: signal.Signals = signal.SIGTERM
    """What the kernel sends when the supervisor itself is killed."""


class Log(Protocol):
    """Where a child's lines go; never raises."""

    path: Path

    def write(self, data: bytes) -> None: ...

    def close(self) -> None: ...


class Child:
    """Runs `spec`, whose `environment` may be changed between two lives."""

    def __init__(self, spec: Spec, log: Log, tell: Tell, started: Callable[[str, int], None]) -> None:
        self.spec, self._log, self._tell, self._started = spec, log, tell, started
        self.said: dict[str, Any] = {}
        """The newest ready line."""
        self.last_words = ""
        self._process: asyncio.subprocess.Process | None = None
        self._broken: asyncio.subprocess.Process | None = None
        """The process that was ended because it said that it is broken; it may say so many times."""
        self._started_at = 0.0
        self._ready = asyncio.Event()
        self._stop_requested = asyncio.Event()
        self._backoff = Backoff()
        self._pumps: set[asyncio.Task[None]] = set()

    @property
    def pid(self) -> int | None:
        process = self._process
        return process.pid if process is not None and process.returncode is None else None

    async def start(self) -> None:
        """The first life: returns when it is ready. Raises StartError with the child's own words when it is not."""
        process = await self._spawn()
        ended = asyncio.ensure_future(process.wait())
        ready = asyncio.ensure_future(self._wait_ready())
        try:
            await asyncio.wait({ended, ready}, timeout=self.spec.start_timeout_s, return_when=asyncio.FIRST_COMPLETED)
            if ended.done():
                await self._drain_pumps()  # its ready line may still be in the pipe: what then died is for `watch`
            if ready.done() or self._ready.is_set():
                return
            if ended.done():
                raise StartError(self.last_words or f"{self.spec.name} {_death(ended.result())} before it was ready")
            raise StartError(
                f"{self.spec.name} was not ready within {self.spec.start_timeout_s:.0f} s; see {self._log.path}"
            )
        finally:
            for task in (ended, ready):
                task.cancel()

    async def watch(self) -> None:
        """After `start`: starts the child again whenever it dies, until `stop`."""
        while self._process is not None:
            code = await self._process.wait()
            if self._stop_requested.is_set():
                return
            await self._drain_pumps()
            delay_s = self._backoff.died(time.monotonic() - self._started_at)
            self._tell(self._obituary(code, delay_s))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stop_requested.wait(), delay_s)
                return
            await self._live_again()

    async def stop(self) -> None:
        """Ask it to end; kill it when it does not within its time."""
        self._stop_requested.set()
        process = self._process
        if process is not None and process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(self.spec.stop_signal)
            try:
                await asyncio.wait_for(process.wait(), self.spec.stop_timeout_s)
            except TimeoutError:
                self._tell(f"{self.spec.name} did not end within {self.spec.stop_timeout_s:.0f} s and is killed")
                self.kill()
                await process.wait()
        await self._drain_pumps()
        for pump in self._pumps:
            pump.cancel()
        self._log.close()

    def kill(self) -> None:
        """kill -9, for good: `watch` ends without a word."""
        self._stop_requested.set()
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()

    async def _live_again(self) -> None:
        try:
            await self._spawn()
        except StartError as error:
            self._tell(f"{self.spec.name}: {error}")
            return
        if self._stop_requested.is_set():
            self.kill()
            return
        said = asyncio.ensure_future(self._say_when_back())
        self._pumps.add(said)
        said.add_done_callback(self._pumps.discard)

    async def _say_when_back(self) -> None:
        process = self._process
        await self._wait_ready()
        if process is not None and process is self._process and process.returncode is None:
            self._tell(f"{self.spec.name} is back (process {process.pid})")

    async def _spawn(self) -> asyncio.subprocess.Process:
        self._ready.clear()
        if self.spec.before_start is not None:
            await asyncio.to_thread(self.spec.before_start)
        read_end, write_end = os.pipe()
        try:
            self._process = await asyncio.create_subprocess_exec(
                *self.spec.command,
                env=self.spec.environment,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=write_end,
                stderr=write_end,
                start_new_session=True,  # Ctrl-C must reach only the supervisor, which ends its children in order
                preexec_fn=dies_with_parent(self.spec.orphan_signal),
                **self.spec.identity,
            )
        except OSError as error:
            os.close(read_end)
            raise StartError(f"{self.spec.name} cannot be started: {error}") from error
        finally:
            os.close(write_end)
        if self.spec.niceness:
            with contextlib.suppress(OSError):  # it may have ended already, or be another user's
                niceness = os.getpriority(os.PRIO_PROCESS, 0) + self.spec.niceness
                os.setpriority(os.PRIO_PROCESS, self._process.pid, niceness)
        self._started_at = time.monotonic()
        self._started(self.spec.name, self._process.pid)
        pump = asyncio.create_task(self._pump(read_end, self._process))
        self._pumps.add(pump)
        pump.add_done_callback(self._pumps.discard)
        return self._process

    async def _wait_ready(self) -> None:
        probe = self.spec.probe
        while probe is not None and not await asyncio.to_thread(probe):  # noqa: ASYNC110 - it can only be asked
            await asyncio.sleep(READY_POLL_S)
        if probe is None:
            await self._ready.wait()

    async def _pump(self, read_end: int, process: asyncio.subprocess.Process) -> None:
        """Copies what the child says into its log and looks for the ready line; of an endless line only the start."""
        reader = asyncio.StreamReader(limit=CHUNK_BYTES)
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(read_end, "rb", buffering=0)
        )
        try:
            rest = b""
            while chunk := await reader.read(CHUNK_BYTES):
                self._log.write(chunk)
                *lines, rest = (rest + chunk).split(b"\n")
                rest = rest[:MAX_LINE_BYTES]
                for line in lines:
                    self._heard(line, process)
            self._heard(rest, process)
        finally:
            transport.close()

    def _heard(self, line: bytes, process: asyncio.subprocess.Process) -> None:
        if not (text := line.decode("utf-8", "replace").strip()):
            return
        if text.startswith('{"ready"'):
            with contextlib.suppress(ValueError):
                self.said = json.loads(text)
                self._ready.set()
                return
        self.last_words = text[:500]
        if self.spec.broken and self.spec.broken in text and process is not self._broken:
            self._broken = process
            self._tell(f"{self.spec.name} cannot go on and is started again; it said: {self.last_words}")
            with contextlib.suppress(ProcessLookupError):
                process.kill()
        if self.spec.relayed and text.startswith(self.spec.relayed):
            self._tell(self.last_words)

    async def _drain_pumps(self) -> None:
        """Let the last lines in; grandchildren may keep the pipe open, so not for long."""
        if self._pumps:
            await asyncio.wait(self._pumps, timeout=2)

    def _obituary(self, code: int, delay_s: float) -> str:
        if self._backoff.is_loop:
            return (
                f"{self.spec.name} keeps failing ({self._backoff.deaths} times in a row, last: {_death(code)}; "
                f"it said: {self.last_words or 'nothing'}); tried again in {delay_s:g} s; see {self._log.path}"
            )
        return f"{self.spec.name} {_death(code)}; started again in {delay_s:g} s"


def _death(code: int) -> str:
    if code >= 0:
        return f"ended with code {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"
