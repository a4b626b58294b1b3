"""A bad network between meters and gateway: a UDP relay that loses, repeats and delays datagrams, and rebinds as a NAT.

In this process, on the loop that runs; what is drawn comes from a seed, the order of arrival does not.
"""

from __future__ import annotations

import asyncio
import random
import socket
from collections import deque
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

from simulators.chaos.plan import Weather

DATAGRAMS_A_TURN = 64
DATAGRAM_BYTES = 65_535
BUFFER_BYTES = 1 << 20
MAX_BINDINGS = 4096
"""Clients that are told apart; beyond, the one that was seen first loses its port."""

HELD_PORTS = 512
"""That a client had and that no other gets: who speaks LwM2M without keys is known by its address for minutes, and
where a NAT hands that on, one meter's reports are another's (docs/doors/lwm2m.md)."""

Address = Any
CLEAR = Weather()


class Relay:
    """`async with Relay(host, port, seed) as relay`: what comes to `relay.port` leaves for `(host, port)`.

    Each client has an outgoing port of its own, as behind a NAT. `weather` may be changed at any time.
    """

    def __init__(self, host: str, port: int, seed: int) -> None:
        self._gateway = (host, port)
        self._rng = random.Random(seed)  # noqa: S311 - weather, no secret
        self._bindings: dict[Address, socket.socket] = {}
        self._held: deque[socket.socket] = deque()
        self.weather = CLEAR
        self.passed = self.lost = self.duplicated = self.delayed = self.rebound = 0

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._door = _udp_socket(("127.0.0.1", 0))
        self._loop.add_reader(self._door.fileno(), self._from_meters)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.remove_reader(self._door.fileno())
        self._door.close()
        self.rebind()
        for outgoing in self._held:
            outgoing.close()

    @property
    def port(self) -> int:
        port: int = self._door.getsockname()[1]
        return port

    def rebind(self) -> None:
        """Every client gets a new outgoing port with its next datagram; answers to the old ones find nobody."""
        for client in list(self._bindings):
            self._unbind(client)
            self.rebound += 1

    def _unbind(self, client: Address) -> None:
        outgoing = self._bindings.pop(client)
        self._loop.remove_reader(outgoing.fileno())
        self._held.append(outgoing)
        if len(self._held) > HELD_PORTS:
            self._held.popleft().close()

    def _outgoing(self, client: Address) -> socket.socket:
        found = self._bindings.get(client)
        if found is None:
            if len(self._bindings) >= MAX_BINDINGS:
                self._unbind(next(iter(self._bindings)))
            found = self._bindings[client] = _udp_socket(("127.0.0.1", 0))
            self._loop.add_reader(found.fileno(), self._from_gateway, found, client)
        return found

    def _from_meters(self) -> None:
        for _ in range(DATAGRAMS_A_TURN):
            try:
                datagram, client = self._door.recvfrom(DATAGRAM_BYTES)
            except OSError:
                return
            outgoing = self._outgoing(client)
            self._pass(outgoing, datagram, self._gateway)

    def _from_gateway(self, outgoing: socket.socket, client: Address) -> None:
        for _ in range(DATAGRAMS_A_TURN):
            try:
                datagram = outgoing.recv(DATAGRAM_BYTES)
            except OSError:
                return
            self._pass(self._door, datagram, client)

    def _pass(self, way: socket.socket, datagram: bytes, to: Address) -> None:
        weather, draw = self.weather, self._rng.random
        if draw() < weather.loss:
            self.lost += 1
            return
        self.passed += 1
        again = draw() < weather.duplicated
        self.duplicated += again
        for _ in range(1 + again):
            if draw() < weather.delayed:
                self.delayed += 1
                self._loop.call_later(draw() * weather.delay_s, _send, way, datagram, to)
            else:
                _send(way, datagram, to)


class Network:
    """A relay for each UDP port of the platform, under one weather: `async with Network(host, ports, seed)`.

    `ports`: of the relays, in the order of the platform's.
    """

    def __init__(self, host: str, ports: Sequence[int], seed: int) -> None:
        self._relays = [Relay(host, port, seed + place) for place, port in enumerate(ports)]

    async def __aenter__(self) -> Self:
        for relay in self._relays:
            await relay.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for relay in self._relays:
            await relay.__aexit__(kind, error, trace)

    @property
    def ports(self) -> list[int]:
        return [relay.port for relay in self._relays]

    @property
    def weather(self) -> Weather:
        return self._relays[0].weather

    @weather.setter
    def weather(self, weather: Weather) -> None:
        for relay in self._relays:
            relay.weather = weather

    def rebind(self) -> None:
        for relay in self._relays:
            relay.rebind()

    @property
    def lost(self) -> int:
        return sum(relay.lost for relay in self._relays)

    @property
    def duplicated(self) -> int:
        return sum(relay.duplicated for relay in self._relays)

    @property
    def delayed(self) -> int:
        return sum(relay.delayed for relay in self._relays)

    @property
    def rebound(self) -> int:
        return sum(relay.rebound for relay in self._relays)


def _send(way: socket.socket, datagram: bytes, to: Address) -> None:
    """A datagram that the kernel does not take, or whose port is closed by now, is one more that got lost."""
    try:
        way.sendto(datagram, to)
    except OSError:
        return


def _udp_socket(address: tuple[str, int]) -> socket.socket:
    """Not connected: a connected one is told when nobody listens, and libuv stops reading at an error."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setblocking(False)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
    sock.bind(address)
    return sock
