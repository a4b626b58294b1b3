"""10,000 datagrams nobody should send, with good reports among them (issue: no crash, no leak, no harm to others)."""

from __future__ import annotations

import random

import psutil
from nats.js import JetStreamContext

from gateway.coap import message as coap
from gateway.coap.message import Message, encode
from gateway.coap.refusal import AMPLIFICATION
from tests.gateway.conftest import IMEI, GatewayProcess, OpenSender, StartGateway, stored, until

SEED = 20260101
HOSTILE = 10_000
GOOD_EVERY = 50
MAX_GROWTH_BYTES = 24 << 20
"""From half of the datagrams to all of them."""


def report(number: int, payload: bytes) -> bytes:
    options = [(coap.URI_PATH, b"r"), (coap.URI_PATH, IMEI.encode()), (coap.CONTENT_FORMAT, b"\x3c")]
    return encode(Message(coap.CON, coap.POST, number & 0xFFFF, number.to_bytes(4, "big"), options, payload))


def seeds() -> list[bytes]:
    """Valid datagrams of every kind, to be mutated."""
    core = [(coap.URI_PATH, b".well-known"), (coap.URI_PATH, b"core")]
    block = [(coap.URI_PATH, b"r"), (coap.URI_PATH, IMEI.encode()), (coap.CONTENT_FORMAT, b"\x2a")]
    return [
        report(1, b"seed"),
        encode(Message(coap.NON, coap.GET, 2, b"t", core, b"")),
        encode(Message(coap.CON, coap.GET, 3, b"t", [(6, b""), *core], b"")),
        encode(Message(coap.CON, coap.POST, 4, b"u", [*block, (coap.BLOCK1, b"\x0a")], b"x" * 64)),
        encode(Message(coap.CON, coap.POST, 5, b"u", [*block, (coap.BLOCK1, b"\x1a")], b"x" * 64)),
        encode(Message(coap.CON, coap.GET, 6, b"t", [*core, (coap.BLOCK2, b"\x16")], b"")),
        encode(Message(coap.ACK, 0x45, 7, b"t", [], b"an answer nobody asked for")),
        encode(Message(coap.RST, 0, 8, b"", [], b"")),
        encode(Message(coap.CON, 0x45, 9, b"t", [], b"")),
        encode(Message(coap.CON, coap.POST, 10, b"t", [(coap.URI_PATH, b"\xff\xfe"), (coap.URI_PATH, b"\x00")], b"x")),
    ]


def hostile(source: random.Random, valid: list[bytes]) -> bytes:
    kind = source.randrange(4)
    if kind == 0:
        return source.randbytes(source.randrange(0, 120))
    if kind == 1:  # looks like CoAP from its first byte
        return bytes((0x40 | source.getrandbits(6),)) + source.randbytes(source.randrange(3, 120))
    chosen = bytearray(source.choice(valid))
    if kind == 2:
        return bytes(chosen[: source.randrange(len(chosen))])
    for _ in range(source.randrange(1, 6)):
        chosen[source.randrange(len(chosen))] = source.getrandbits(8)
    return bytes(chosen)


async def test_ten_thousand_hostile_datagrams(
    gateway: GatewayProcess, js: JetStreamContext, open_sender: OpenSender
) -> None:
    source, valid = random.Random(SEED), seeds()
    attacker, meter = await open_sender(gateway.port), await open_sender(gateway.port)
    process = psutil.Process(gateway.process.pid)
    half = 0
    for number in range(HOSTILE):
        attacker.send(hostile(source, valid))
        if number % GOOD_EVERY == 0:
            answer = await meter.ask(report(number, b"good %d" % number))
            assert answer[1] == coap.CHANGED
            assert answer[4:] == number.to_bytes(4, "big")
        if number == HOSTILE // 2:
            half = process.memory_info().rss
    await until(lambda: all_received(gateway))
    assert process.memory_info().rss - half < MAX_GROWTH_BYTES
    payloads = {each.payload for each in await stored(js)}
    assert {b"good %d" % number for number in range(0, HOSTILE, GOOD_EVERY)} <= payloads
    assert await gateway.metric('nbwater_gateway_ignored_total{reason="defect"}') == 0
    assert await gateway.stop() == 0


async def all_received(gateway: GatewayProcess) -> bool:
    return await gateway.metric("nbwater_gateway_datagrams_total") >= HOSTILE * 0.99


async def test_no_answer_to_a_stranger_is_more_than_three_times_its_question(
    start_gateway: StartGateway, js: JetStreamContext, open_sender: OpenSender
) -> None:
    gateway = await start_gateway(ready=False)  # nobody is known yet
    path = (coap.URI_PATH, b"r")
    questions = [
        encode(Message(kind, code, 0, token, options, payload))
        for kind in (coap.CON, coap.NON)
        for token in (b"", b"12345678")
        for code in (coap.GET, coap.POST, 31)
        for options, payload in [
            ([], b""),
            ([path], b""),
            ([path, (coap.URI_PATH, b"")], b""),
            ([path, (coap.URI_PATH, b"d"), (coap.CONTENT_FORMAT, b"\x3c")], b"x"),
            ([(9, b""), path], b""),
            ([(coap.URI_PATH, b".well-known"), (coap.URI_PATH, b"core")], b""),
            ([(coap.URI_PATH, b".well-known"), (coap.URI_PATH, b"core"), (coap.ACCEPT, b"\x00")], b""),
            ([(coap.PROXY_URI, b"a")], b""),
        ]
    ]
    answered = 0
    for number, question in enumerate(questions):
        sender = await open_sender(gateway.port)
        sender.send(question[:2] + number.to_bytes(2, "big") + question[4:])
        try:
            answer = await sender.receive(0.3)
        except TimeoutError:
            continue
        answered += 1
        assert len(answer) <= AMPLIFICATION * len(question), question.hex()
    assert answered > len(questions) / 2
