"""HTTP as senders may write it, over real sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from gateway.push import http
from gateway.push.http import Connections, Headers, Judged
from gateway.push.products import Host, Product, parse_products
from tests.gateway.conftest import until
from tests.gateway.push.conftest import product

(PRODUCT,) = parse_products(product(), "test")
POST = b"POST /push/x HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n%b"


def post(body: bytes) -> bytes:
    return POST % (len(body), body)


class Handler:
    """Takes what is posted to /push/x; answers at once, unless `holds`."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.holds = False
        self.waiting: list[Callable[[int], None]] = []

    def judge(self, method: bytes, target: bytes, headers: Headers, host: Host) -> Judged:
        if target == b"/silence":
            return Judged(None)
        return Judged(0, PRODUCT) if target == b"/push/x" else Judged(404)

    def take(self, product: Product, host: Host, body: bytes, answer: Callable[[int], None]) -> None:
        assert str(host) == "127.0.0.1"
        self.bodies.append(body)
        if body == b"defect":
            raise RuntimeError("a defect")
        if self.holds:
            self.waiting.append(answer)
        else:
            answer(200)


class Port:
    def __init__(self, maximum: int = 10) -> None:
        self.handler = Handler()
        self.now = 1000.0
        self.connections = Connections(self.handler, maximum, lambda: self.now)
        self.server: asyncio.Server

    async def open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.server.sockets[0].getsockname()[1])

    async def waits(self, count: int, connections: int = 0) -> None:
        """Until so many pushes wait for their answer, and there are so many connections."""

        async def enough() -> bool:
            return len(self.handler.waiting) >= count and len(self.connections) >= connections

        await until(enough)

    async def ask(self, data: bytes) -> bytes:
        """All that comes back until the connection is closed."""
        reader, writer = await self.open()
        writer.write(data)
        try:
            return await asyncio.wait_for(reader.read(), 20)
        except ConnectionResetError:
            return b""
        finally:
            writer.close()


async def answer_on(reader: asyncio.StreamReader) -> bytes:
    return (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 20)).split(b"\r\n")[0]


@pytest.fixture
async def port() -> AsyncIterator[Port]:
    port = Port()
    port.server = await asyncio.get_running_loop().create_server(port.connections.make, "127.0.0.1", 0)
    yield port
    port.connections.close()
    port.server.close()


async def test_one_connection_carries_many_pushes_also_pipelined(port: Port) -> None:
    reader, writer = await port.open()
    writer.write(post(b"one") + post(b"two") + post(b""))
    assert [await answer_on(reader) for _ in range(3)] == [b"HTTP/1.1 200 OK"] * 3
    for byte in post(b"in drops"):
        writer.write(bytes((byte,)))
        await writer.drain()
    assert await answer_on(reader) == b"HTTP/1.1 200 OK"
    writer.write(
        b"POST /push/x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nchu\r\n2\r\nnk\r\n0\r\n\r\n"
    )
    assert await answer_on(reader) == b"HTTP/1.1 200 OK"
    assert port.handler.bodies == [b"one", b"two", b"", b"in drops", b"chunk"]
    writer.close()


async def test_answers_keep_their_order_and_nothing_is_read_meanwhile(port: Port) -> None:
    port.handler.holds = True
    reader, writer = await port.open()
    writer.write(post(b"one") + post(b"two"))
    await port.waits(1)
    assert port.handler.bodies == [b"one"]
    port.handler.waiting[0](503)
    assert await answer_on(reader) == b"HTTP/1.1 503 Service Unavailable"
    await port.waits(2)
    port.handler.waiting[0](200)  # a second answer to the first is none
    port.handler.waiting[1](200)
    assert await answer_on(reader) == b"HTTP/1.1 200 OK"
    writer.close()


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"nonsense\r\n\r\n", b"400"),
        (b"\x16\x03\x01\x00\xa5\x01\r\n\r\n", b"400"),
        (b"POST /push/x HTTP/1.1\r\nHost: h\r\nContent-Length: x\r\n\r\n", b"400"),
        (b"POST /push/x HTTP/1.1\r\nHost: h\r\nContent-Length: 70000\r\n\r\n", b"413"),
        (b"POST /push/x HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", b"400"),
        (b"POST /push/x HTTP/1.1\r\nContent-Length: 1\r\n\r\n", b"400"),
        (
            b"POST /push/x HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            b"400",
        ),
        (b"POST /elsewhere HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello", b"404"),
        (b"POST /push/x HTTP/1.1\r\nHost: h\r\nX: " + b"y" * 300_000, b"431"),
    ],
)
async def test_what_is_no_push_is_refused_and_the_connection_ends(port: Port, data: bytes, status: bytes) -> None:
    port.now = 0.0
    asked = asyncio.create_task(port.ask(data))
    while not asked.done():
        port.now += 0.5
        port.connections.sweep()
        await asyncio.sleep(0.02)
    assert (await asked).split(b" ")[1] == status
    assert port.handler.bodies == []


async def test_some_get_no_answer_at_all(port: Port) -> None:
    assert await port.ask(b"POST /silence HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n") == b""


async def test_a_defect_costs_one_request(port: Port) -> None:
    reader, writer = await port.open()
    writer.write(post(b"defect"))
    assert await answer_on(reader) == b"HTTP/1.1 500 Internal Server Error"
    writer.close()
    assert b"200 OK" in (await port.ask(post(b"fine").replace(b"Host: h", b"Host: h\r\nConnection: close")))


async def test_the_slow_are_closed_and_the_waiting_are_not(port: Port) -> None:
    port.handler.holds = True
    slow_reader, slow = await port.open()
    reader, writer = await port.open()
    idle_reader, _ = await port.open()
    slow.write(b"POST /push/x HTTP/1.1\r\nHo")
    writer.write(post(b"waits"))
    await port.waits(1, connections=3)
    await asyncio.sleep(0.05)
    port.now += http.ARRIVAL_S + 1
    port.connections.sweep()
    assert await _ended(slow_reader)
    assert port.connections.overdue == 1
    port.now += http.IDLE_S
    port.connections.sweep()
    assert await _ended(idle_reader)
    port.handler.waiting[0](200)
    assert await answer_on(reader) == b"HTTP/1.1 200 OK"
    writer.close()


async def _ended(reader: asyncio.StreamReader) -> bool:
    try:
        return await asyncio.wait_for(reader.read(), 20) == b""
    except ConnectionResetError:
        return True


async def test_full_of_waiting_ones_a_newcomer_is_turned_away(port: Port) -> None:
    port.handler.holds = True
    opened = [await port.open() for _ in range(10)]
    for _, writer in opened:
        writer.write(post(b"waits"))
    await port.waits(10)
    assert await port.ask(post(b"one more")) == b""
    assert port.connections.turned_away == 1
    for answer in port.handler.waiting:
        answer(200)
    for reader, writer in opened:
        assert await answer_on(reader) == b"HTTP/1.1 200 OK"
        writer.close()


async def test_at_the_end_waiting_ones_have_their_answer(port: Port) -> None:
    port.handler.holds = True
    reader, writer = await port.open()
    writer.write(post(b"last"))
    await port.waits(1)
    port.connections.close()
    port.handler.waiting[0](200)
    answer = await asyncio.wait_for(reader.read(), 20)
    assert b"200 OK" in answer
    assert b"connection: close" in answer.lower()
    writer.close()


async def test_who_waits_for_a_429_makes_room_and_else_gets_it(port: Port) -> None:
    port.handler.holds = True
    opened = [await port.open() for _ in range(10)]
    for _, writer in opened:
        writer.write(post(b"waits"))
    await port.waits(10)
    for answer in port.handler.waiting[:2]:
        answer(429)
    port.handler.holds = False
    reader, writer = await port.open()
    writer.write(post(b"one more"))
    assert await answer_on(reader) == b"HTTP/1.1 200 OK"
    assert port.connections.turned_away == 0
    for answer in port.handler.waiting[2:]:
        answer(200)
    answers = [await _answer_or_none(each) for each, _ in opened]
    assert sorted(answers) == [b""] + [b"HTTP/1.1 200 OK"] * 8 + [b"HTTP/1.1 429 Too Many Requests"]
    for _, each in [*opened, (reader, writer)]:
        each.close()


async def _answer_or_none(reader: asyncio.StreamReader) -> bytes:
    try:
        return await answer_on(reader)
    except (asyncio.IncompleteReadError, ConnectionResetError):
        return b""
