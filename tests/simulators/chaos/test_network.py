"""The relay between real sockets: what it passes, loses, repeats, delays, and that a NAT forgets."""

import asyncio
import socket

import pytest

from simulators.chaos.network import Network, Relay
from simulators.chaos.plan import Weather

DEADLINE_S = 60


class Gateway(asyncio.DatagramProtocol):
    """Answers each datagram with itself, and notes where it came from."""

    def connection_made(self, transport):
        self.transport, self.sources, self.heard = transport, [], []

    def datagram_received(self, data, addr):
        self.sources.append(addr)
        self.heard.append(data)
        self.transport.sendto(data, addr)


@pytest.fixture
async def gateway():
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.create_datagram_endpoint(Gateway, local_addr=("127.0.0.1", 0))
    yield protocol
    transport.close()


@pytest.fixture
async def relay(gateway):
    port = gateway.transport.get_extra_info("sockname")[1]
    async with Relay("127.0.0.1", port, seed=1) as made:
        yield made


@pytest.fixture
def meter():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        sock.bind(("127.0.0.1", 0))
        yield sock


async def send(meter, relay, *datagrams):
    for datagram in datagrams:
        await asyncio.get_running_loop().sock_sendto(meter, datagram, ("127.0.0.1", relay.port))


async def hear(meter, count):
    loop = asyncio.get_running_loop()
    return [await asyncio.wait_for(loop.sock_recv(meter, 100), DEADLINE_S) for _ in range(count)]


async def until(condition):
    async with asyncio.timeout(DEADLINE_S):
        while not condition():  # noqa: ASYNC110 - counters, which tell nobody
            await asyncio.sleep(0.01)


async def test_in_clear_weather_everything_passes_both_ways(relay, meter):
    await send(meter, relay, b"a", b"b")
    assert sorted(await hear(meter, 2)) == [b"a", b"b"]
    assert (relay.passed, relay.lost) == (4, 0)


async def test_what_is_lost_reaches_nobody(relay, gateway, meter):
    relay.weather = Weather(loss=1.0)
    await send(meter, relay, b"a")
    await until(lambda: relay.lost == 1)
    relay.weather = Weather()
    await send(meter, relay, b"b")
    assert await hear(meter, 1) == [b"b"]
    assert gateway.heard == [b"b"]


async def test_a_repeated_datagram_comes_twice_each_way(relay, gateway, meter):
    relay.weather = Weather(duplicated=1.0)
    await send(meter, relay, b"a")
    assert await hear(meter, 4) == [b"a"] * 4
    assert gateway.heard == [b"a"] * 2


async def test_a_later_datagram_overtakes_a_delayed_one(relay, gateway, meter):
    relay.weather = Weather(delayed=1.0, delay_s=0.5)
    await send(meter, relay, b"slow")
    await until(lambda: relay.delayed == 1)
    relay.weather = Weather()
    assert await hear(meter, 1) == [b"slow"]
    assert gateway.heard == [b"slow"]


async def test_after_a_rebinding_a_meter_comes_from_another_port(relay, gateway, meter):
    await send(meter, relay, b"a")
    await hear(meter, 1)
    relay.rebind()
    await send(meter, relay, b"b")
    await hear(meter, 1)
    before, after = gateway.sources
    assert before != after
    assert relay.rebound == 1


async def test_answers_to_a_port_that_was_given_up_find_nobody(relay, gateway, meter):
    await send(meter, relay, b"a")
    await hear(meter, 1)
    relay.rebind()
    gateway.transport.sendto(b"late", gateway.sources[0])
    await send(meter, relay, b"b")
    assert await hear(meter, 1) == [b"b"]


async def test_a_network_has_one_weather_for_all_its_ports(gateway):
    port = gateway.transport.get_extra_info("sockname")[1]
    async with Network("127.0.0.1", [port, port], seed=1) as network:
        network.weather = Weather(loss=1.0)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as meter:
            for relay_port in network.ports:
                meter.sendto(b"lost", ("127.0.0.1", relay_port))
            async with asyncio.timeout(DEADLINE_S):
                while network.lost < 2:  # noqa: ASYNC110 - a counter has no event
                    await asyncio.sleep(0.01)
        network.rebind()
        assert (network.rebound, network.duplicated, network.delayed) == (2, 0, 0)
