"""`nbwater up`: the whole platform on one data directory, each program a process of its own.

Started in the order stream, database, then the programs; ended from the doors inwards: gateway, ingest, settlement,
api, stream, database. What a child says goes to ``DIR/logs``.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from api.accounts import FIRST_LOGIN, ensure_first_administrator
from api.database import open_write_pool
from api.exposure import check_exposure
from deploy import instance, programs, servers
from deploy.accounts import Accounts, load_or_create, master_key_file
from deploy.embedded.mqtt_listener import check_exposure as check_mqtt_exposure
from deploy.embedded.nats import ADMIN
from deploy.gateway_workers import more_workers
from deploy.instance import Instance, Lock
from deploy.listeners import Listeners, start_somewhere
from deploy.status_table import status_table
from deploy.supervision.child import Child, Spec, Tell
from deploy.supervision.leftovers import Children
from deploy.supervision.log_file import LogFile
from metering.errors import StartError
from metering.settings import (
    ApiSettings,
    DatabaseSettings,
    GatewaySettings,
    MqttSettings,
    NatsSettings,
    load,
    unknown_variables,
)

FOLDERS = ("run", "logs", "secrets")
STOP_ORDER = ("town", "gateway", "ingest", "settlement", "api", "nats", "postgres")


@dataclass(frozen=True, slots=True)
class Options:
    """None: as the settings say."""

    data: Path
    host: str | None = None
    coap_port: int | None = None
    coaps_port: int | None = None
    http_port: int | None = None
    ports_may_move: bool = False
    """Ports that are taken are replaced by free ones instead of being an error: for a demo."""
    known_password: bool = False
    """The first administrator gets a password that is kept and shown at each start: for a demo."""
    guest: Spec | None = None
    """One more child, started when all is ready: a demo's simulator."""


async def up(options: Options, tell: Tell) -> int:
    """Runs until SIGTERM or Ctrl-C; a second one ends everything at once. Raises StartError when it cannot start."""
    platform = Platform(options, tell)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def asked() -> None:
        if stop.is_set():
            tell("ending everything at once")
            platform.kill()
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, asked)
    try:
        starting = asyncio.ensure_future(platform.start())
        stopping = asyncio.ensure_future(stop.wait())
        await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if not starting.done():
            tell("stopping")
            starting.cancel()
            await asyncio.wait({starting})
        elif starting.exception() is None:
            await platform.watch(stop)
        else:
            starting.result()
        stopping.cancel()
    finally:
        await platform.stop()
    tell("stopped")
    return 0


class Platform:
    """All children of one data directory."""

    def __init__(self, options: Options, tell: Tell) -> None:
        self._options, self._tell = options, tell
        self._data = options.data.resolve()
        self._lock = Lock(self._data)
        self._leftovers = Children(self._data / "run" / "children.json")
        self._children: dict[str, Child] = {}
        self._watches: list[asyncio.Task[None]] = []
        self._announced: Instance | None = None

    async def start(self) -> None:
        """Check what can be checked first, so that a mistake costs no half-started platform."""
        settings = load(NatsSettings)
        for line in unknown_variables(os.environ):
            self._tell(line)
        host = self._options.host or load(ApiSettings).host
        check_exposure(load(ApiSettings).model_copy(update={"host": host}), "--host")
        check_mqtt_exposure(load(MqttSettings))
        listeners = Listeners(host, self._options.ports_may_move, self._tell)
        wanted = listeners.choose(self._options.coap_port, self._options.http_port, self._options.coaps_port)
        make_folders(self._data)
        self._lock.take()
        instance.forget(self._data)  # of a run that was killed: until this one is ready, nothing can be found by it
        for name in await asyncio.to_thread(self._leftovers.end_leftovers):
            self._tell(f"{name} of an earlier run was still there and has been ended")
        accounts = load_or_create(self._data)

        stream, database = await self._start_servers(accounts, settings, wanted.mqtt)
        await servers.prepare_stream(stream, settings)
        applied = await servers.prepare_database(database, accounts)
        if applied:
            self._tell(f"database migrated: {', '.join(applied)}")
        await self._first_administrator(database, accounts)
        await self._start_together(
            self._first_gateway(stream, wanted),
            *(
                programs.ingest(stream.urls["ingest"], stream.monitor_url, database.urls["ingest"], wanted, partition)
                for partition in range(settings.partitions)
            ),
            programs.settlement(database.urls["settlement"], wanted),
            programs.api(
                stream.urls["api"],
                database.urls["api"],
                accounts.session_secret,
                host,
                wanted,
                master_keys(self._data),
            ),
            move=listeners.move,
        )
        gateway = self._children["gateway"]
        await self._start_together(*more_workers(gateway.spec, gateway.said, load(GatewaySettings).workers))
        demo_password = accounts.demo_password if self._options.known_password else None
        await self._announce(stream, database, host, demo_password)

    async def watch(self, stop: asyncio.Event) -> None:
        """Until `stop`. Every child that dies is started again, from its own start on: the others may wait for it."""
        stopping = asyncio.create_task(stop.wait())
        try:
            done, _ = await asyncio.wait({*self._watches, stopping}, return_when=asyncio.FIRST_COMPLETED)
            for task in done - {stopping}:
                task.result()
            self._tell("stopping: gateway, ingest, settlement, api, then the servers")
            await self._stop_children()
            await asyncio.gather(*self._watches)
        finally:
            stopping.cancel()

    async def stop(self) -> None:
        """Everything ends, whatever state it is in; harmless when nothing runs."""
        await self._stop_children()
        await asyncio.gather(*self._watches, return_exceptions=True)
        if self._lock.is_held:
            instance.forget(self._data)
            self._lock.release()

    def kill(self) -> None:
        """All at once: what was acknowledged is on disk anyway."""
        for child in self._children.values():
            child.kill()

    def _first_gateway(self, stream: servers.Stream, wanted: programs.Ports) -> Spec:
        directory = self._data / "run" / "gateway"
        directory.mkdir(mode=0o700, exist_ok=True)
        workers = load(GatewaySettings).workers
        return programs.gateway(
            stream.urls["gateway"],
            stream.monitor_url,
            wanted,
            workers,
            directory,
            master_keys(self._data),
            push=programs.push_door(self._data),
            mqtt=programs.mqtt_settings(stream.mqtt),
        )

    async def _start_servers(
        self, accounts: Accounts, settings: NatsSettings, mqtt_port: int
    ) -> tuple[servers.Stream, servers.Database]:
        database_url = load(DatabaseSettings).url.get_secret_value()
        external = settings.url.get_secret_value()
        stream = (
            servers.external_stream(settings)
            if external
            else servers.embedded_stream(self._data, accounts, settings, mqtt_port)
        )
        database = (
            servers.external_database(database_url)
            if database_url
            else await asyncio.to_thread(servers.embedded_database, self._data, accounts, self._tell)
        )
        await self._start_together(*(spec for spec in (stream.spec, database.spec) if spec is not None))
        return stream, database

    async def _start_together(self, *specs: Spec, move: Callable[[Spec], bool] = lambda _: False) -> None:
        """All at once; raises the first StartError after the others have settled. `move`: see `Listeners`."""
        for spec in specs:
            log = LogFile(self._data / "logs" / f"{spec.name}.log")
            self._children[spec.name] = Child(spec, log, self._tell, self._child_started)
        starts = (start_somewhere(self._children[spec.name], move) for spec in specs)
        started = await asyncio.gather(*starts, return_exceptions=True)
        for outcome in started:
            if isinstance(outcome, BaseException):
                raise outcome
        for spec in specs:
            child = self._children[spec.name]
            programs.keep_port(spec, child.said)
            self._watches.append(asyncio.create_task(child.watch(), name=spec.name))

    async def _first_administrator(self, database: servers.Database, accounts: Accounts) -> None:
        """Made before the api starts, so that the one-time password is shown here and reaches no log."""
        pool = await open_write_pool(database.urls["owner"], size=1)
        try:
            injected = accounts.demo_password if self._options.known_password else ""
            password = await ensure_first_administrator(pool, injected)
        finally:
            await pool.close()
        if password is not None:
            self._tell(f"first login at the pages: {FIRST_LOGIN}  {password}  (shown only now; to be changed there)")

    async def _announce(
        self, stream: servers.Stream, database: servers.Database, host: str, demo_password: str | None
    ) -> None:
        said = {name: child.said for name, child in self._children.items()}
        page_host = "127.0.0.1" if host in ("0.0.0.0", "::") else host
        scheme = "https" if load(ApiSettings).tls_certificate else "http"
        running = Instance(
            pid=os.getpid(),
            coap_port=int(said["gateway"]["port"]),
            coaps_port=int(said["gateway"].get("dtls_port", 0)),
            api_url=f"{scheme}://{page_host}:{said['api']['port']}",
            database_url=database.urls["owner"],
            nats_url=stream.urls[ADMIN],
            nats_monitor_url=stream.monitor_url,
            mqtt_port=stream.mqtt.port if stream.mqtt else 0,
            programs={name: {"pid": child.pid} | child.said for name, child in self._children.items()},
        )
        running.write(self._data)
        self._announced = running
        if self._options.guest is not None:
            await self._start_together(self._options.guest)
        for line in status_table(running, self._data, demo_password):
            self._tell(line)

    def _child_started(self, name: str, pid: int) -> None:
        """Each time; who reads instance.json after a restart must not be sent to a dead process."""
        self._leftovers.started(name, pid)
        if self._announced is not None and name in self._announced.programs:
            self._announced.programs[name]["pid"] = pid
            self._announced.write(self._data)

    async def _stop_children(self) -> None:
        for program in STOP_ORDER:
            children = [child for name, child in self._children.items() if programs.program_of(name) == program]
            await asyncio.gather(*(child.stop() for child in children))


def master_keys(data: Path) -> dict[str, str]:
    """Those of the operator, else the file of this data directory: for those who may have them."""
    return programs.given_master_keys() or {"NBWATER_KEYS_MASTER_FILE": str(master_key_file(data))}


def make_folders(data: Path) -> None:
    """Raises StartError when the directory cannot be made or written."""
    try:
        data.mkdir(parents=True, exist_ok=True)
        for name in FOLDERS:
            (data / name).mkdir(mode=0o700, exist_ok=True)
        probe = data / "run" / ".writable"
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        raise StartError(
            f"the data directory {data} cannot be written ({error.strerror or error}): choose another with --data"
        ) from error
