"""The sender against libcoap's and aiocoap's servers, and through a network that loses datagrams."""

import asyncio
import shutil
import socket
import time

import aiocoap
import aiocoap.resource
import pytest
import uvloop

from simulators import message
from simulators.admission import TargetError, reach
from simulators.coap import Sender
from simulators.exchange import Fate, Timers
from simulators.message import HEAD, Type

QUICK = Timers(ack_timeout_s=0.1, max_retransmit=4, separate_wait_s=2.0)


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


class Peer(asyncio.DatagramProtocol):
    """Answers each request by the next of `answers`: bytes made from (message id, token), or None for silence."""

    def __init__(self, answers):
        self.answers, self.received = list(answers), []

    def connection_made(self, transport):
        self.transport = transport
        self.port = transport.get_extra_info("sockname")[1]

    def datagram_received(self, data, addr):
        self.received.append(data)
        answer = self.answers.pop(0) if self.answers else acknowledged
        if answer is not None:
            _, _, message_id, token = HEAD.unpack_from(data)
            for datagram in answer(message_id, token):
                self.transport.sendto(datagram, addr)


def acknowledged(message_id, token):
    return [HEAD.pack(message.first_byte(Type.ACK), message.CHANGED, message_id, token)]


def coded(code, options=b""):
    return lambda message_id, token: [HEAD.pack(message.first_byte(Type.ACK), code, message_id, token) + options]


def separate(message_id, token):
    empty = bytes((0x60, 0)) + message_id.to_bytes(2, "big")
    return [empty, HEAD.pack(message.first_byte(Type.CON), message.CHANGED, 999, token)]


@pytest.fixture
async def peer():
    peers = []

    async def make(*answers):
        loop = asyncio.get_running_loop()
        transport, protocol = await loop.create_datagram_endpoint(lambda: Peer(answers), local_addr=("127.0.0.1", 0))
        peers.append(transport)
        return protocol

    yield make
    for transport in peers:
        transport.close()


async def test_an_answer(peer):
    server = await peer()
    async with Sender("127.0.0.1", server.port, timers=QUICK) as sender:
        answer = await sender.post(("r", "1"), 60, b"x")
    assert (answer.fate, answer.code) == (Fate.ANSWERED, message.CHANGED)
    assert sender.counts.retransmissions == 0


async def test_lost_requests_are_sent_again_with_the_same_message_id(peer):
    server = await peer(None, None)
    async with Sender("127.0.0.1", server.port, timers=QUICK) as sender:
        answer = await sender.post(("r", "1"), 60, b"x")
    assert answer.fate is Fate.ANSWERED
    assert len(server.received) == 3
    assert len(set(server.received)) == 1
    assert sender.counts.retransmissions == 2


async def test_silence_ends_as_unknown_after_the_last_retransmission(peer):
    server = await peer(*[None] * 3)
    timers = Timers(ack_timeout_s=0.05, max_retransmit=2)
    async with Sender("127.0.0.1", server.port, timers=timers) as sender:
        answer = await sender.post(("r", "1"), 60, b"x")
    assert answer.fate is Fate.UNKNOWN
    assert len(server.received) == 3


async def test_a_separate_answer_is_acknowledged(peer):
    server = await peer(separate)
    async with Sender("127.0.0.1", server.port, timers=QUICK) as sender:
        answer = await sender.post(("r", "1"), 60, b"x")
        async with asyncio.timeout(5):
            while len(server.received) < 2:  # noqa: ASYNC110 - the protocol under test has no event to wait for
                await asyncio.sleep(0.01)
    assert answer.fate is Fate.ANSWERED
    assert server.received[1] == bytes((0x60, 0)) + (999).to_bytes(2, "big")


async def test_refusals(peer):
    server = await peer(coded(0x81))
    async with Sender("127.0.0.1", server.port, timers=QUICK) as sender:
        answer = await sender.post(("r", "1"), 60, b"x")
    assert (answer.fate, message.code_text(answer.code)) == (Fate.REFUSED, "4.01")


async def test_unavailable_is_unknown_by_default(peer):
    server = await peer(coded(message.SERVICE_UNAVAILABLE))
    async with Sender("127.0.0.1", server.port, timers=QUICK) as sender:
        answer = await sender.post(("r", "1"), 60, b"x")
    assert (answer.fate, message.code_text(answer.code)) == (Fate.UNKNOWN, "5.03")


async def test_unavailable_is_tried_again_after_max_age_as_a_new_message(peer):
    one_second = message.encode_options([(message.MAX_AGE, b"\x01")])
    server = await peer(coded(message.SERVICE_UNAVAILABLE, one_second))
    timers = Timers(ack_timeout_s=0.1, unavailable_retries=1)
    started = time.monotonic()
    async with Sender("127.0.0.1", server.port, timers=timers) as sender:
        answer = await sender.post(("r", "1"), 60, b"x")
    assert answer.fate is Fate.ANSWERED
    assert time.monotonic() - started >= 1
    first, second = server.received
    assert first[2:4] != second[2:4]
    assert first[8:] == second[8:]


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def test_a_server_that_is_away_for_a_while(run):
    """Port unreachable messages of the kernel are a loss, not an error; libuv stops a socket that has one."""
    run(away_for_a_while())


async def away_for_a_while():
    port = free_port()
    async with Sender("127.0.0.1", port, ports=2, timers=QUICK) as sender:
        waiting = asyncio.ensure_future(sender.post(("r", "1"), 60, b"x"))
        await asyncio.sleep(0.15)
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(lambda: Peer(()), local_addr=("127.0.0.1", port))
        answer = await asyncio.wait_for(waiting, 10)
        transport.close()
    assert answer.fate is Fate.ANSWERED


async def test_many_requests_through_a_lossy_network_all_end(peer):
    server = await peer(*[None if number % 3 == 0 else acknowledged for number in range(900)])
    fates = []
    async with Sender("127.0.0.1", server.port, ports=8, timers=QUICK) as sender:
        tail = message.request_tail(("r", "1"), 60, b"x")
        for number in range(500):
            assert sender.submit(tail, lambda exchange: fates.append(exchange.fate), lane=number)
        await asyncio.wait_for(sender.room(1), 20)
    assert len(fates) == 500
    assert fates.count(Fate.ANSWERED) > 450  # one in three is lost; few are lost five times running
    assert set(fates) <= {Fate.ANSWERED, Fate.UNKNOWN}


async def test_a_port_whose_message_ids_are_used_up_is_replaced(peer):
    server = await peer()
    ended = 0

    def on_end(exchange):
        nonlocal ended
        ended += 1

    async with Sender("127.0.0.1", server.port, ports=1, timers=QUICK) as sender:
        sender._ports[0].used = message_ids_but(3)
        for _ in range(10):
            sender.submit(message.request_tail(("r", "1")), on_end)
        await asyncio.wait_for(sender.room(1), 10)
        assert sender.counts.ports_opened == 2
    assert ended == 10


def message_ids_but(left):
    return (1 << 16) - 1 - left


async def test_too_many_open_exchanges_are_refused_at_the_source(peer):
    server = await peer(None, None)
    async with Sender("127.0.0.1", server.port, timers=QUICK, max_inflight=1) as sender:
        assert sender.submit(message.request_tail(("r", "1")), lambda _: None)
        assert not sender.submit(message.request_tail(("r", "1")), lambda _: None)


async def test_libcoap_s_server_answers():
    if not (program := shutil.which("coap-server-notls")):
        pytest.skip("NOT RUN: coap-server-notls (Debian package libcoap3-bin) is not installed")
    port = free_port()
    server = await asyncio.create_subprocess_exec(program, "-A", "127.0.0.1", "-p", str(port), "-d", "4", "-v", "0")
    try:
        await reach("127.0.0.1", port)
        async with Sender("127.0.0.1", port, timers=QUICK) as sender:
            answers = await asyncio.gather(*(sender.get(("time",)) for _ in range(20)))
        assert {answer.fate for answer in answers} == {Fate.ANSWERED}
        assert all(answer.payload for answer in answers)
    finally:
        server.terminate()
        await server.wait()


class Report(aiocoap.resource.Resource):
    async def render_post(self, request):
        await asyncio.sleep(0.2 if request.payload == b"slow" else 0)  # slow: aiocoap answers separately
        return aiocoap.Message(code=aiocoap.CHANGED)


async def test_aiocoap_s_server_answers_at_once_and_separately():
    site = aiocoap.resource.Site()
    site.add_resource(["r", "1"], Report())
    port = free_port()
    context = await aiocoap.Context.create_server_context(site, bind=("127.0.0.1", port))
    try:
        async with Sender("127.0.0.1", port, timers=Timers(ack_timeout_s=1.0)) as sender:
            quick, slow = await asyncio.gather(*(sender.post(("r", "1"), 60, body) for body in (b"quick", b"slow")))
    finally:
        await context.shutdown()
    assert quick.fate is slow.fate is Fate.ANSWERED


async def test_nothing_there_is_said_clearly():
    port = free_port()
    with pytest.raises(TargetError, match=f"nothing answers CoAP at 127.0.0.1 port {port}"):
        await reach("127.0.0.1", port, patience_s=0.2)
