"""What happens to the hosts while the meters report. Each fault does harm, undoes it, and says what it saw."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable

import asyncpg
import nats.errors
from nats.aio.client import Client

from deploy.cluster.bed.bed import GATEWAYS, NODES, WORKERS, Bed
from metering.errors import StartError
from metering.streams import UP_STREAM, up_durable

Seen = dict[str, float | str]
LOOK_S = 0.1
RECOVERY_S = 240.0
API = "$JS.API"


FAULTS = (
    "node_killed", "worker_cut", "leader_moved", "gateway_killed", "node_cut", "database_killed", "node_parted",
    "worker_frozen", "gateway_cut", "node_frozen", "worker_killed", "database_cut",
)  # fmt: skip
"""In an order that leaves no two of a kind beside each other."""


class Faults:
    """`client` is the administrator's connection to the stream; `hold_s` how long the harm lasts once it is felt."""

    def __init__(self, bed: Bed, client: Client, hold_s: float) -> None:
        self._bed, self._network, self._processes, self._client = bed, bed.network, bed.processes, client
        self._hold_s = hold_s

    async def node_killed(self) -> Seen:
        """kill -9 of the node that leads the stream; it comes back with its store. Not before another leads:
        a node that is there again within the others' election time-out (4 to 9 s) can be elected itself."""
        node = await self._leader()
        with self._processes[f"{node}/nats"].down():
            seen = await self._until_led_by_another(node)
        return {"host": node, "leaderless_s": seen, **await self._recovered()}

    async def node_cut(self) -> Seen:
        """The leader's host loses its network, both ways, clients and routes alike."""
        node = await self._leader()
        self._network.cut(node)
        try:
            seen = await self._until_led_by_another(node)
            await asyncio.sleep(self._hold_s)
        finally:
            self._network.heal(node)
        return {"host": node, "leaderless_s": seen, **await self._recovered()}

    async def node_parted(self) -> Seen:
        """The leader's host loses the other nodes only: programs that are connected to it must find out and leave."""
        node = await self._leader()
        others = [other for other in NODES if other != node]
        self._network.part(node, others)
        try:
            seen = await self._until_led_by_another(node)
            await asyncio.sleep(self._hold_s)
        finally:
            self._network.join(node, others)
        return {"host": node, "leaderless_s": seen, **await self._recovered()}

    async def node_frozen(self) -> Seen:
        """SIGSTOP of the leader: its connections stay open and say nothing."""
        node = await self._leader()
        self._processes[f"{node}/nats"].send(signal.SIGSTOP)
        try:
            seen = await self._until_led_by_another(node)
            await asyncio.sleep(self._hold_s)
        finally:
            self._processes[f"{node}/nats"].send(signal.SIGCONT)
        return {"host": node, "leaderless_s": seen, **await self._recovered()}

    async def leader_moved(self) -> Seen:
        """The stream's leader and its consumer's are asked to step down, as before maintenance."""
        node = await self._leader()
        seen = await self._until_led_by_another(node, f"{API}.STREAM.LEADER.STEPDOWN.{UP_STREAM}")
        await self._client.request(f"{API}.CONSUMER.LEADER.STEPDOWN.{UP_STREAM}.{up_durable(0)}", b"", timeout=5)
        return {"host": node, "leaderless_s": seen, **await self._recovered()}

    async def gateway_killed(self) -> Seen:
        """Its meters' repeats go to the other one, as soon as the balancer sees it."""
        return await self._without_gateway(lambda host: self._processes[f"{host}/gateway"].kill(), lambda _: None)

    async def gateway_cut(self) -> Seen:
        return await self._without_gateway(self._network.cut, self._network.heal)

    async def _without_gateway(self, harm: Callable[[str], None], undo: Callable[[str], None]) -> Seen:
        host, *others = GATEWAYS
        harm(host)
        try:
            await asyncio.sleep(1.0)  # until a balancer's health check
            self._network.announce(others)
            await asyncio.sleep(self._hold_s)
        finally:
            undo(host)
        await asyncio.sleep(self._hold_s / 2)
        self._network.announce(GATEWAYS)
        return {"host": host}

    async def worker_killed(self) -> Seen:
        """kill -9 of the active ingest worker."""
        host, fence = await self._holder()
        self._processes[f"{host}/ingest-0"].kill()
        return {"host": host, "takeover_s": await self._until_taken_over(fence)}

    async def worker_cut(self) -> Seen:
        """The active worker's host loses its network: it believes that it holds the lease, and may commit nothing."""
        host, fence = await self._holder()
        self._network.cut(host)
        try:
            seen = await self._until_taken_over(fence)
            await asyncio.sleep(self._hold_s)
        finally:
            self._network.heal(host)
        return {"host": host, "takeover_s": seen}

    async def worker_frozen(self) -> Seen:
        """SIGSTOP of the active worker until another has its partition; then it wakes in the middle of what it did."""
        host, fence = await self._holder()
        self._processes[f"{host}/ingest-0"].send(signal.SIGSTOP)
        try:
            seen = await self._until_taken_over(fence)
        finally:
            self._processes[f"{host}/ingest-0"].send(signal.SIGCONT)
        return {"host": host, "takeover_s": seen}

    async def database_killed(self) -> Seen:
        self._processes["db/postgres"].kill()
        await asyncio.sleep(self._hold_s)
        return {"host": "db"}

    async def database_cut(self) -> Seen:
        self._network.cut("db")
        await asyncio.sleep(self._hold_s)
        self._network.heal("db")
        return {"host": "db"}

    async def do(self, name: str) -> Seen:
        """One of FAULTS."""
        seen: Seen = await getattr(self, name)()
        return seen

    async def _leader(self) -> str:
        """The node that leads the stream; waited for while there is none."""
        deadline = asyncio.get_running_loop().time() + RECOVERY_S
        while asyncio.get_running_loop().time() < deadline:
            try:
                info = await self._client.jetstream(timeout=2).stream_info(UP_STREAM)
            except (nats.errors.Error, TimeoutError, OSError):
                info = None
            if info is not None and info.cluster is not None and info.cluster.leader:
                return str(info.cluster.leader)
            await asyncio.sleep(LOOK_S)
        raise StartError(f"the stream has no leader for {RECOVERY_S:.0f} s")

    async def _until_led_by_another(self, node: str, ask: str = "") -> float:
        """Seconds until another node leads the stream. `ask` is a request that makes it so; made again while it does
        not, since who steps down stands for election too."""
        started = asyncio.get_running_loop().time()
        while await self._leader() == node:
            if ask:
                with contextlib.suppress(nats.errors.TimeoutError):
                    await self._client.request(ask, b"", timeout=2)
            if asyncio.get_running_loop().time() - started > RECOVERY_S:
                raise StartError(f"{node} still leads the stream after {RECOVERY_S:.0f} s")
            await asyncio.sleep(LOOK_S)
        return round(asyncio.get_running_loop().time() - started, 2)

    async def _recovered(self) -> Seen:
        """Seconds until every node has caught up."""
        started = asyncio.get_running_loop().time()
        while not all([await asyncio.to_thread(self._bed.is_healthy, node) for node in NODES]):
            if asyncio.get_running_loop().time() - started > RECOVERY_S:
                raise StartError(f"the NATS cluster has not recovered for {RECOVERY_S:.0f} s")
            await asyncio.sleep(LOOK_S)
        return {"recovery_s": round(asyncio.get_running_loop().time() - started, 2)}

    async def _holder(self) -> tuple[str, int]:
        """The host whose worker has partition 0, and the fence under which."""
        row = await self._watermark()
        pid = int((row["holder"] or "//-1//").split("/")[2])
        for host in WORKERS:
            if self._processes[f"{host}/ingest-0"].pid == pid:
                return host, row["fence"]
        raise StartError(f"nobody holds partition 0: {row['holder']!r}")

    async def _until_taken_over(self, fence: int) -> float:
        """Seconds until another fence; it is raised with each take-over."""
        started = asyncio.get_running_loop().time()
        while (await self._watermark())["fence"] == fence:
            if asyncio.get_running_loop().time() - started > RECOVERY_S:
                raise StartError(f"nobody took partition 0 over for {RECOVERY_S:.0f} s")
            await asyncio.sleep(LOOK_S)
        return round(asyncio.get_running_loop().time() - started, 2)

    async def _watermark(self) -> asyncpg.Record:
        connection = await asyncpg.connect(self._bed.owner_url, timeout=10)
        try:
            return await connection.fetchrow("SELECT holder, fence FROM watermarks WHERE partition = 0")
        finally:
            await connection.close()
