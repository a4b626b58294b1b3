"""The whole topology running: three NATS nodes, two gateways, two hosts for work, PostgreSQL, each on its own host.

Every program is started from the files that `nbwater cluster configure` writes, so that those are what is rehearsed.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import urllib.request
from pathlib import Path
from typing import Any

import asyncpg
import nats.errors
from pydantic import SecretStr

from deploy.cluster.bed import certificates
from deploy.cluster.bed.network import ANYCAST, Network
from deploy.cluster.bed.processes import Process, Processes, plain_environment
from deploy.cluster.configuration import admin_settings
from deploy.cluster.plan import MONITOR_PORT, Places, Plan
from deploy.cluster.write import load_secrets, write
from deploy.embedded.nats import binary
from deploy.embedded.postgres import PostgresServer
from deploy.servers import ensure_streams
from ingest.schema.migrate import migrate
from metering.errors import StartError
from metering.settings import NatsSettings

NODES, GATEWAYS, WORKERS = ["nats-1", "nats-2", "nats-3"], ["gateway-1", "gateway-2"], ["work-1", "work-2"]
DATABASE = "db"
HOSTS = [*NODES, *GATEWAYS, *WORKERS, DATABASE]
START_S = 240.0
POLL_S = 0.2
STREAM_BYTES = 1 << 30
COAP_PORT, DATABASE_PORT = 5683, 5432


class Bed:
    """Made, then `start`ed, then `stop`ped. `folder` holds everything that it writes."""

    def __init__(self, folder: Path, network: Network, partitions: int) -> None:
        self.folder, self.network, self.processes = folder, network, Processes()
        tls = folder / "tls"
        if certificates.available():
            certificates.make(tls, {node: network.addresses[node] for node in NODES})
        self.plan = Plan(
            hosts=network.addresses,
            roles={"nats": NODES, "gateway": GATEWAYS, "ingest": WORKERS, "settlement": WORKERS, "api": []},
            database=f"{network.addresses[DATABASE]}:{DATABASE_PORT}/nbwater",
            tls=str(tls) if tls.exists() else "",
            partitions=partitions,
            up_max_bytes=STREAM_BYTES,
            coap_host=ANYCAST,
            coap_port=COAP_PORT,
            places=Places(store=str(folder / "store")),
        )
        self._files = folder / "configuration"
        write(self.plan, self._files)
        secrets = load_secrets(self._files)
        self.database = PostgresServer(
            folder / "postgres", secrets.database_owner, DATABASE_PORT, host=network.addresses[DATABASE]
        )
        self.owner_url = self.database.url("nbwater")
        self.admin = admin_settings(self.plan, secrets)

    async def start(self) -> None:
        """Returns when every program is ready. Raises StartError."""
        self._start_nodes()
        await asyncio.to_thread(self._start_database)
        await self._until(self._nodes_are_healthy, "the NATS cluster is healthy")
        await self._prepare()
        for gateway in GATEWAYS:
            self.network.give_anycast(gateway)
            self._start_program(gateway, "gateway", "gateway")
        self.network.announce(GATEWAYS)
        for worker in WORKERS:
            for partition in range(self.plan.partitions):
                self._start_program(worker, f"ingest-{partition}", "ingest")
            self._start_program(worker, "settlement", "ingest.settlement")
        await self._until(self._programs_are_ready, "all programs are ready")

    def stop(self) -> None:
        self.processes.stop()

    def _start_nodes(self) -> None:
        for node in NODES:
            self._start(node, "nats", [binary(), "-c", str(self._files / node / "nats.conf")], {})

    def _start_database(self) -> None:
        server = self.database
        server.prepare()
        with (server.directory / "pg_hba.conf").open("a") as file:
            file.write("host all all samenet scram-sha-256\n")
        account, command = server.account, server.command()
        if account is not None:
            drop = ["setpriv", f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--clear-groups", "--"]
            command = [*drop, *command]
        self._start(DATABASE, "postgres", command, {}, server.stop_signal)

    def _start_program(self, host: str, name: str, module: str) -> None:
        settings = dict(line.split("=", 1) for line in (self._files / host / f"{name}.env").read_text().splitlines())
        own = self.folder / "gateway" / host
        own.mkdir(mode=0o700, parents=True, exist_ok=True)
        places = {self.plan.places.configuration: self._files / host, self.plan.places.gateway: own}
        for usual, here in places.items():  # these hosts have one disk
            settings = {key: value.replace(usual, str(here)) for key, value in settings.items()}
        self._start(host, name, [sys.executable, "-m", module], settings)

    def _start(
        self,
        host: str,
        name: str,
        command: list[str],
        settings: dict[str, str],
        end_signal: signal.Signals = signal.SIGKILL,
    ) -> None:
        environment = plain_environment() | settings | {"PYTHONPATH": str(Path(__file__).parents[3])}
        log = self.folder / f"{host}.{name}.log"
        self.processes.add(Process(f"{host}/{name}", self.network.inside(host, command), environment, log, end_signal))

    async def _prepare(self) -> None:
        """What the operator does once: the database, `nbwater migrate`, the logins."""
        await self._until(self._database_answers, "PostgreSQL answers")
        connection = await asyncpg.connect(self.database.url("postgres"))
        await connection.execute("CREATE DATABASE nbwater")
        await connection.close()
        await migrate(self.owner_url)
        connection = await asyncpg.connect(self.owner_url)
        for statement in (self._files / "logins.sql").read_text().splitlines():
            await connection.execute(statement)
        await connection.close()
        await self._until(self._streams_are_made, "the streams are made")

    async def _streams_are_made(self) -> bool:
        try:
            await ensure_streams(self.admin["NBWATER_NATS_URL"], self.nats_settings())
        except (StartError, nats.errors.Error, TimeoutError):
            return False
        return True

    def nats_settings(self) -> NatsSettings:
        return NatsSettings(
            url=SecretStr(self.admin["NBWATER_NATS_URL"]),
            monitor_url=self.admin["NBWATER_NATS_MONITOR_URL"],
            partitions=self.plan.partitions,
            replicas=int(self.admin["NBWATER_NATS_REPLICAS"]),
            up_max_bytes=STREAM_BYTES,
            mqtt_max_bytes=int(self.admin["NBWATER_NATS_MQTT_MAX_BYTES"]),  # the plan has no listener
            tls_ca=self.admin.get("NBWATER_NATS_TLS_CA", ""),
        )

    async def _database_answers(self) -> bool:
        return await asyncio.to_thread(self.database.is_ready)

    async def _nodes_are_healthy(self) -> bool:
        return all([await asyncio.to_thread(self.is_healthy, node) for node in NODES])

    def is_healthy(self, node: str) -> bool:
        """Whether a NATS node is in contact with the others and has caught up."""
        return self.monitor(node, "healthz").get("status") == "ok"

    def monitor(self, node: str, page: str) -> dict[str, Any]:
        """A page of a node's monitoring; empty when it does not answer."""
        url = f"http://{self.network.addresses[node]}:{MONITOR_PORT}/{page}"
        try:
            with urllib.request.urlopen(url, timeout=2) as answer:
                found: dict[str, Any] = json.load(answer)
        except (OSError, ValueError):
            return {}
        return found

    async def _programs_are_ready(self) -> bool:
        names = [f"{host}/gateway" for host in GATEWAYS] + [
            f"{host}/{name}"
            for host in WORKERS
            for name in ("settlement", *(f"ingest-{partition}" for partition in range(self.plan.partitions)))
        ]
        return all('"ready"' in self.processes[name].log.read_text() for name in names)

    async def _until(self, condition: Any, what: str) -> None:
        deadline = asyncio.get_running_loop().time() + START_S
        while not await condition():
            if asyncio.get_running_loop().time() > deadline:
                raise StartError(f"not within {START_S:.0f} s: {what}; see {self.folder}")
            await asyncio.sleep(POLL_S)
