"""`nbwater up` on a new directory, and the means to harm it: what `simulators.chaos.platform.Platform` asks for."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from deploy import instance
from deploy.chaos import processes, server_clock, stepped_clock
from deploy.chaos.small_disk import SmallDisk
from deploy.enrolment import enrol_rows, master_keys
from deploy.instance import Instance
from deploy.programs import PRODUCTS_FILE, command
from deploy.push_products import add
from deploy.registration import register_rows
from deploy.supervision.parent_death import dies_with_parent
from gateway.push.products import Platform as PushPlatform
from metering.errors import StartError
from simulators.chaos.plan import CLOCKED, SERVERS, Kind
from simulators.chaos.platform import SECOND, Frozen, GoneError
from simulators.target import Places, Register

HOST = "127.0.0.1"
PRODUCT = "chaos"
START_S = 180.0
STOP_S = 120.0
POLL_S = 0.1
GATEWAY_WORKERS = 2
"""Unless the settings say otherwise: after a NAT rebinding a meter's datagrams come to the other one."""
NOT_INHERITED = ("NBWATER_DATABASE_URL", "NBWATER_NATS_URL", "NBWATER_NATS_MONITOR_URL", "NBWATER_DATA")
"""The platform is one of its own, with servers of its own."""


class OwnPlatform:
    """The directory is made here; `stop` removes it."""

    def __init__(self) -> None:
        self.data = Path(tempfile.mkdtemp(prefix="nbwater-chaos-"))
        self.register: Register = self._register
        self.enrol: Register = self._enrol
        self._push_path = ""
        self._clocks = self.data / "clocks"
        self._disks: dict[str, SmallDisk] = {}
        self._no_disk = self._no_server_clock = ""
        self._stopped: Counter[tuple[int, int]] = Counter()
        """Processes, and how many have stopped them: they go on when the last lets go."""
        self._up: subprocess.Popen[bytes] | None = None
        self._environment: dict[str, str] = {}
        self._second: subprocess.Popen[bytes] | None = None
        self._kept: Instance | None = None

    async def start(self) -> None:
        """Raises StartError with what `nbwater up` said."""
        for server in SERVERS:
            place = self.data / "disks" / server
            place.mkdir(parents=True)
            try:
                self._disks[server] = SmallDisk(place)
            except StartError as error:
                self._no_disk = str(error)
            (place / server).mkdir()
            (self.data / server).symlink_to(place / server)
        self._environment = self._settings()
        self._push_path = add(self.data / PRODUCTS_FILE, PRODUCT, PushPlatform.CTWING).path
        self._launch(coap_port=0, coaps_port=0)
        await self._until_up()
        try:
            for server in SERVERS:
                self.step_clock(server, 0)
        except (StartError, GoneError) as error:
            self._no_server_clock = str(error)

    def _settings(self) -> dict[str, str]:
        environment = {name: value for name, value in os.environ.items() if name not in NOT_INHERITED}
        environment |= {f"NBWATER_{program}_METRICS_PORT": "0" for program in ("GATEWAY", "INGEST", "SETTLEMENT")}
        environment |= {"NBWATER_MQTT_PORT": "0", "NBWATER_PUSH_PORT": "0", "NBWATER_PUSH_HOST": HOST}
        environment.setdefault("NBWATER_GATEWAY_WORKERS", str(GATEWAY_WORKERS))
        hook = str(stepped_clock.hook(self._clocks, CLOCKED))
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, (hook, environment.get("PYTHONPATH"))))
        return environment

    def _launch(self, coap_port: int, coaps_port: int) -> None:
        arguments = (
            "up", "--data", str(self.data), "--coap-port", str(coap_port), "--coaps-port", str(coaps_port),
            "--http-port", "0",
        )  # fmt: skip
        with (self.data / "up.log").open("ab") as log:
            self._up = subprocess.Popen(  # noqa: S603 - our own command
                command("deploy", *arguments), stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self._environment,
                start_new_session=True, preexec_fn=dies_with_parent(signal.SIGTERM),
            )  # fmt: skip

    async def _until_up(self) -> None:
        """Raises StartError."""
        up = self._up
        deadline = asyncio.get_running_loop().time() + START_S
        while up is None or (found := instance.find(self.data)) is None or found.pid != up.pid:
            if up is None or up.poll() is not None or asyncio.get_running_loop().time() > deadline:
                raise StartError(f"nbwater up did not start: {(self.data / 'up.log').read_text()[-2000:]}")
            await asyncio.sleep(POLL_S)
        self._kept = found

    async def black_out(self) -> None:
        if self._up is None or self._up.poll() is not None:
            raise GoneError("nbwater up does not run")
        for pid, _ in processes.freeze(self._up.pid):  # the supervisor first: it starts nothing again
            os.kill(pid, signal.SIGKILL)
        await asyncio.to_thread(self._up.wait)
        places = self.places
        self._environment["NBWATER_MQTT_PORT"] = str(places.mqtt_port)
        self._environment["NBWATER_PUSH_PORT"] = str(self._instance().programs["gateway"]["push_port"])
        self._launch(places.coap_port, places.coaps_port)
        await self._until_up()

    async def stop(self, keep: bool) -> None:
        await self.end_second_ingest()
        if self._up is not None and self._up.poll() is None:
            self._up.terminate()
            try:
                await asyncio.to_thread(self._up.wait, STOP_S)
            except subprocess.TimeoutExpired:
                self._up.kill()  # its children die with it
                await asyncio.to_thread(self._up.wait)
        if keep:
            self._keep()
        for disk in self._disks.values():
            disk.unmount()
        self._disks.clear()
        if not keep:
            await asyncio.to_thread(shutil.rmtree, self.data, ignore_errors=True)

    def _keep(self) -> None:
        """What the servers hold, out of the disks that go away, to where `nbwater up --data` finds it."""
        for server in SERVERS:
            (self.data / server).unlink(missing_ok=True)
            if (self.data / "disks" / server / server).exists():
                _copy(self.data / "disks" / server / server, self.data / server)

    @property
    def impossible(self) -> Mapping[Kind, str]:
        reasons = {
            Kind.DATABASE_FULL: self._no_disk,
            Kind.STREAM_DISK_FULL: self._no_disk,
            Kind.SERVER_CLOCK: self._no_server_clock,
        }
        return {kind: reason for kind, reason in reasons.items() if reason}

    @property
    def places(self) -> Places:
        running = self._instance()
        port = running.programs["gateway"].get("push_port", 0)
        push_url = f"http://{HOST}:{port}{self._push_path}" if port else ""
        return Places(HOST, running.coap_port, running.coaps_port, running.mqtt_port, push_url, PRODUCT)

    @property
    def database_url(self) -> str:
        return self._instance().database_url

    @property
    def nats_url(self) -> str:
        return self._instance().nats_url

    async def _register(self, rows: Sequence[dict[str, str]]) -> int:
        return await register_rows(self.database_url, rows)

    async def _enrol(self, rows: Sequence[dict[str, str]]) -> int:
        return await enrol_rows(self.database_url, master_keys(self.data), rows)

    def _instance(self) -> Instance:
        """As it says now; its addresses do not change while it runs."""
        self._kept = instance.find(self.data) or self._kept
        if self._kept is None:
            raise GoneError("the platform does not run")
        return self._kept

    def programs(self) -> Mapping[str, int]:
        found = {name: program["pid"] for name, program in self._instance().programs.items()}
        if self._second is not None and self._second.poll() is None:
            found[SECOND] = self._second.pid
        return {name: pid for name, pid in found.items() if pid and processes.started(pid) is not None}

    def metrics_ports(self) -> Mapping[str, int]:
        programs = self._instance().programs
        return {name: program["metrics_port"] for name, program in programs.items() if program.get("metrics_port")}

    def said(self, program: str) -> str:
        try:
            return (self.data / "logs" / f"{program}.log").read_text(errors="replace")
        except FileNotFoundError:
            return ""

    def _pid(self, program: str) -> int:
        try:
            return self.programs()[program]
        except KeyError:
            raise GoneError(f"{program} does not run") from None

    def kill(self, program: str) -> int:
        pid = self._pid(program)
        os.kill(pid, signal.SIGKILL)
        return pid

    def freeze(self, program: str) -> Frozen:
        frozen = processes.freeze(self._pid(program))
        self._stopped.update(frozen)
        return frozen

    def thaw(self, frozen: Frozen) -> None:
        self._stopped.subtract(frozen)
        processes.thaw([one for one in frozen if self._stopped[one] <= 0])
        self._stopped = +self._stopped

    def step_clock(self, role: str, seconds: float) -> None:
        if role not in SERVERS:
            stepped_clock.step(self._clocks, role, seconds)
            return
        frozen = self.freeze(role)
        try:
            server_clock.step([pid for pid, _ in frozen], seconds)
        finally:
            self.thaw(frozen)

    @property
    def _postgres(self) -> Path:
        return self.data / "disks" / "postgres" / "postgres"

    def take_database_away(self) -> None:
        pid = self._pid("postgres")
        self._postgres.rename(self._postgres.with_name("away"))
        os.kill(pid, signal.SIGKILL)

    def bring_database_back(self) -> None:
        self._postgres.with_name("away").rename(self._postgres)

    async def copy_database(self) -> None:
        """All processes of PostgreSQL stand still meanwhile: the files are those of one instant."""
        copy = self._postgres.with_name("copy")
        shutil.rmtree(copy, ignore_errors=True)  # of a replacement that did not come about
        frozen = self.freeze("postgres")
        try:
            await asyncio.to_thread(_copy, self._postgres, copy)
        finally:
            self.thaw(frozen)
        (copy / "postmaster.pid").unlink(missing_ok=True)

    def put_copy_back(self) -> None:
        """The newer files leave first, so that PostgreSQL, started again at once, finds the older ones."""
        pid = self._pid("postgres")
        newer = self._postgres.with_name("newer")
        self._postgres.rename(newer)
        self._postgres.with_name("copy").rename(self._postgres)
        os.kill(pid, signal.SIGKILL)
        shutil.rmtree(newer, ignore_errors=True)

    def fill_disk(self, server: str) -> None:
        self._disks[server].fill()

    def empty_disk(self, server: str) -> None:
        self._disks[server].empty()

    def start_second_ingest(self, beside: str) -> None:
        pid = self._pid(beside)
        settings = processes.environment(pid) | {"NBWATER_INGEST_METRICS_PORT": "0"}
        with (self.data / "logs" / f"{SECOND}.log").open("wb") as log:
            self._second = subprocess.Popen(  # noqa: S603 - our own command
                processes.command(pid), stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=settings,
                start_new_session=True, preexec_fn=dies_with_parent(signal.SIGTERM),
            )  # fmt: skip

    async def end_second_ingest(self) -> None:
        second, self._second = self._second, None
        if second is not None and second.poll() is None:
            second.terminate()
            try:
                await asyncio.to_thread(second.wait, STOP_S)
            except subprocess.TimeoutExpired:
                second.kill()
                await asyncio.to_thread(second.wait)


def _copy(source: Path, target: Path) -> None:
    """With the owner, which PostgreSQL insists on. Raises GoneError when it cannot."""
    done = subprocess.run(["cp", "-a", source, target], check=False, capture_output=True, text=True)  # noqa: S603, S607 - our own command
    if done.returncode != 0:
        raise GoneError(f"the database cannot be copied: {done.stderr[-300:]}")
