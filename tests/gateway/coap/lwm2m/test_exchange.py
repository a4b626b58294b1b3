"""Requests to clients: their bytes, their retransmission, their end; and what is remembered of the clients' own."""

from __future__ import annotations

import json

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.coap import message as coap
from gateway.coap.lwm2m import downlink, formats
from gateway.coap.lwm2m.answers import LIFETIME_S, Answers, Seen
from gateway.coap.lwm2m.exchange import (
    FETCH,
    OBSERVE,
    PUT,
    Ask,
    Exchange,
    Standing,
    acknowledgement,
    read_reply,
    reset,
)
from gateway.coap.lwm2m.links import Offer
from gateway.coap.lwm2m.registration import Query, registered
from gateway.coap.lwm2m.states import TRANSITIONS, Event, State, Window, after
from gateway.coap.message import Message

OFFER = Offer(("/3/0", "/19/0", "/19/1", "/5", "/3424/0", "/3424/1", "/4/0"))
RECORD = registered("dev", "dev", Query("dev", version="1.1"), OFFER, "", 0, None)


def exchange(ask: Ask = Ask(coap.GET, "/3/0"), root: str = "") -> Exchange:  # noqa: B008 - immutable
    return Exchange(ask, root, b"token678", 7, 2.0, 0.5, 100.0)


def test_a_request_as_it_goes_out() -> None:
    ask = Ask(PUT, "/19/1/0", b"frame", 42, accept=0, observe=0, query=("pmin=1", "pmax=2"), block2=0x16)
    parsed = coap.parse(exchange(ask, "/lwm2m").datagram)
    assert isinstance(parsed, Message)
    assert parsed == Message(
        coap.CON, PUT, 7, b"token678",
        [(OBSERVE, b""), (coap.URI_PATH, b"lwm2m"), (coap.URI_PATH, b"19"), (coap.URI_PATH, b"1"),
         (coap.URI_PATH, b"0"), (coap.CONTENT_FORMAT, b"\x2a"), (coap.URI_QUERY, b"pmin=1"),
         (coap.URI_QUERY, b"pmax=2"), (coap.ACCEPT, b""), (coap.BLOCK2, b"\x16")],
        b"frame",
    )  # fmt: skip
    assert coap.parse(exchange(Ask(0x04, "/")).datagram).options == []


def test_it_is_sent_again_three_times_ever_later_and_then_given_up() -> None:
    open_ = exchange()
    assert open_.due_at == 102.5
    assert not open_.due(102.4)
    sent = [now for now in range(100, 200) if open_.due(now)]
    assert sent == [103, 108, 118]
    assert open_.standing is Standing.SILENT


def test_an_empty_acknowledgement_stops_retransmission_and_the_answer_may_come_later() -> None:
    open_ = exchange()
    empty = Message(coap.ACK, 0, 7, b"", [], b"")
    assert open_.matches(empty)
    open_.receive(empty, 101.0)
    assert not any(open_.due(now) for now in range(101, 161))
    late = Message(coap.CON, 0x45, 99, b"token678", [], b"value")
    assert open_.matches(late)
    open_.receive(late, 130.0)
    assert (open_.standing, open_.answer) == (Standing.ANSWERED, late)
    assert not open_.matches(late)  # what comes with its token now is a notification


@pytest.mark.parametrize(
    "other",
    [
        Message(coap.ACK, 0x45, 8, b"token678", [], b""), Message(coap.ACK, 0x45, 7, b"other678", [], b""),
        Message(coap.NON, 0x45, 7, b"other678", [], b""), Message(coap.CON, 0, 7, b"", [], b""),
        Message(coap.RST, 0, 8, b"", [], b""),
    ],
)  # fmt: skip
def test_what_is_not_meant_for_it(other: Message) -> None:
    assert not exchange().matches(other)


def test_a_reset_ends_it() -> None:
    open_ = exchange()
    open_.receive(Message(coap.RST, 0, 7, b"", [], b""), 101.0)
    assert open_.standing is Standing.RESET
    assert acknowledgement(0x1234) == bytes.fromhex("60001234")
    assert reset(0x1234) == bytes.fromhex("70001234")


def test_a_reply_is_read_from_its_options() -> None:
    options = [(OBSERVE, b"\x01\x02"), (coap.CONTENT_FORMAT, b"\x2d\x16"), (coap.BLOCK2, b"\x0e")]
    reply = read_reply(Message(coap.ACK, 0x45, 7, b"", options, b"x"))
    assert (reply.content_format, reply.observe, reply.more, reply.success) == (11542, 258, True, True)
    assert read_reply(Message(coap.ACK, 0x84, 7, b"", [(OBSERVE, b"12345")], b"")).observe is None


def test_what_is_observed_is_what_the_client_offers() -> None:
    wanted = downlink.wanted(RECORD, ("/19/0/0", "/3424", "/4", "/3411", "/5/0/3", "/10/0/0"))
    assert wanted == ("/19/0/0", "/3424/0", "/3424/1", "/4/0", "/5/0/3")
    assert downlink.wanted(RECORD._replace(legacy=True), ("/19/0/0",)) == ("/t/d",)


def test_formats_by_version_by_what_the_client_names_and_by_what_it_was_seen_to_use() -> None:
    def of(version: str | None, named: tuple[int, ...] = (), seen: int | None = None) -> tuple[int, ...]:
        record = registered("d", "d", Query(version=version), Offer((), "", named), "", 0, None)
        return formats.candidates(record._replace(format=seen))

    assert of(None)[0] == of("1.0", (110,))[0] == 11542
    assert of("1.1") == (112, 110, 11542)
    assert of("1.1", (110,)) == (110, 112, 11542)
    assert of("1.2", (11544,))[0] == 11544
    assert of("1.2")[0] == 112
    assert of("1.1", (110,), seen=11542)[0] == 11542
    assert downlink.accept_of("/19/0/0", RECORD) == 42
    assert downlink.accept_of("/19/0", RECORD) == 112
    assert downlink.accept_of("/5/0/3", RECORD) == 0


@pytest.mark.parametrize(
    ("content_format", "payload", "value"),
    [
        (0, b"2", 2), (None, b" -3 ", -3), (0, b"x", None), (11542, bytes.fromhex("c10302"), 2),
        (11542, bytes.fromhex("e1010302"), 2), (11542, bytes.fromhex("c2030100"), 256), (11542, b"", None),
        (11542, bytes.fromhex("0300c10302"), 2), (11542, bytes.fromhex("c803"), None),
        (112, cbor2.dumps([{-2: "/5/0/", 0: "3", 2: 2}]), 2), (112, b"\xff", None), (112, cbor2.dumps([]), None),
        (110, b'[{"bn":"/5/0/3","v":2}]', 2), (11543, b'{"bn":"/5/0/3","e":[{"n":"","v":2}]}', 2),
        (11544, cbor2.dumps({5: {0: {3: 2}}}), 2), (110, b"{}", None), (110, b'"x"', None),
    ],
)  # fmt: skip
def test_an_integer_in_any_format(content_format: int | None, payload: bytes, value: int | None) -> None:
    assert formats.read_integer(content_format, payload) == value


@given(st.sampled_from([None, 0, 110, 112, 11542, 11543, 11544]), st.binary(max_size=40))
def test_any_bytes_are_an_integer_or_none(content_format: int | None, payload: bytes) -> None:
    formats.read_integer(content_format, payload)


@pytest.mark.parametrize(
    ("content_format", "payload"),
    [
        (112, bytes.fromhex("d81c81d81d00")),  # an array that holds itself
        (112, bytes.fromhex("d81ca102d81d00")),
        (112, b"\xc2\x59\xff\xff" + b"\xff" * 0xFFFF),
        (112, bytes.fromhex("fb7ff0000000000000")),
        (112, bytes.fromhex("c4821a3b9aca0001")),
        (110, b'[{"v":1e999}]'),
        (110, b'[{"v":' + b"9" * 4000 + b"}]"),
        (0, b"9" * 4000),
        (11542, b"\x08\x00" * 5000),
    ],
)
def test_no_payload_keeps_the_gateway_busy(content_format: int, payload: bytes) -> None:
    assert formats.read_integer(content_format, payload) is None


def test_values_are_written_in_the_clients_format() -> None:
    values = {0: "coap://x", 1: True, 2: 3, 300: b"k" * 300, 7: -129}
    assert formats.encode_tlv(values) == bytes.fromhex("c80008") + b"coap://x" + bytes.fromhex(
        "c10101" "c10203" "c207ff7f" "f0012c012c"
    ) + b"k" * 300  # fmt: skip
    assert cbor2.loads(formats.encode_senml_cbor("/0/0", {1: True, 2: 3})) == [
        {-2: "/0/0/", 0: "1", 4: True}, {0: "2", 2: 3}
    ]  # fmt: skip
    assert cbor2.loads(formats.encode_lwm2m_cbor("/0/1", {0: "x"})) == {0: {1: {0: "x"}}}
    assert json.loads(formats.composite_paths(110, ["/3/0", "/4/0/2"])) == [{"n": "/3/0"}, {"n": "/4/0/2"}]
    composite = downlink.read_composite(["/3/0"], 112)
    assert (composite.method, cbor2.loads(composite.payload)) == (FETCH, [{0: "/3/0"}])
    assert downlink.execute("/1/0/8") == Ask(coap.POST, "/1/0/8")
    assert downlink.discover("/3") == Ask(coap.GET, "/3", accept=40)


def test_a_retransmission_gets_the_answer_it_had() -> None:
    answers = Answers(2)
    assert answers.recall(("a", 1), b"x", 0.0) is Seen.NEW
    assert answers.recall(("a", 1), b"x", 1.0) is Seen.IN_WORK
    answers.note(("a", 1), b"answer")
    assert answers.recall(("a", 1), b"x", 2.0) == b"answer"
    assert answers.recall(("a", 1), b"other content, same id", 3.0) is Seen.NEW
    answers.forget(("a", 1))
    assert answers.recall(("a", 1), b"other content, same id", 3.0) is Seen.NEW
    for number in range(5):
        answers.recall(("b", number), b"x", 4.0)
    assert len(answers) == 2
    answers.note(("b", 0), b"forgotten meanwhile")
    assert answers.recall(("b", 4), b"x", 4.0 + LIFETIME_S) is Seen.NEW
    assert len(answers) == 1


def test_a_client_listens_for_its_window_and_is_asleep_then() -> None:
    window = Window(20.0)
    assert not window.listens(0.0)
    window.tell(Event.REGISTER, 0.0)
    assert window.listens(19.9)
    window.tell(Event.HEARD, 15.0)
    assert window.listens(34.9)
    assert not window.listens(35.0)
    assert window.state is State.ASLEEP
    window.tell(Event.HEARD, 40.0)
    assert window.listens(41.0)
    window.tell(Event.SILENT, 41.0)
    assert not window.listens(41.0)
    always = Window(None)
    always.tell(Event.REGISTER, 0.0)
    assert always.listens(1e9)
    always.tell(Event.DEREGISTER, 1e9)
    assert not always.listens(1e9)


def test_only_a_registration_makes_a_client() -> None:
    assert {event for state, event in TRANSITIONS if state is State.ABSENT} == {Event.REGISTER}
    assert after(State.ABSENT, Event.HEARD) is State.ABSENT
