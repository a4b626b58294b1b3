"""Simulated meters with keys against the gateway's CoAP port: Echo answered, answers opened, load played."""

from __future__ import annotations

import asyncio
import time

import numpy as np
import pytest

from gateway.coap.oscore.context import derive
from metering.credentials import CredentialKind, OscoreSecret
from metering.errors import StreamFullError
from metering.registry import ENABLED, HAS_KEY, RegistryEntry
from simulators import message
from simulators.coap import Sender
from simulators.exchange import Fate, Timers
from simulators.exchange_table import ExchangeTable
from simulators.keys import first_number, key_row, master_secret, protected_meter, sender_id
from simulators.oscore import ProtectionError, with_echo
from simulators.protected_rows import ProtectedRows
from simulators.protected_sender import ProtectedSender
from simulators.report_rows import ReportRows
from simulators.synthetic import Plan, serial
from simulators.volley import USUAL_ANSWER_BYTES, Volley
from tests.gateway.coap.protected import CLOSE, MASTER_KEYS, Desk

METERS = 20


def enrolled(desk: Desk) -> None:
    for meter in range(METERS):
        name = serial(meter)
        key = MASTER_KEYS.seal(CredentialKind.OSCORE, sender_id(name), OscoreSecret(master_secret(name)).encode())
        desk.devices.apply(RegistryEntry(name, (name,), (), ENABLED | HAS_KEY, (key,)))


def test_keys_of_simulated_meters_fit_a_key_file() -> None:
    row = key_row("900000000007")
    assert row == {"serial": "900000000007", "kind": "oscore", "key_id": sender_id("900000000007").hex(),
                   "key": master_secret("900000000007").hex()}  # fmt: skip
    assert len(sender_id("861234567890123")) <= 7
    assert master_secret("1") != master_secret("2")
    derive(OscoreSecret(master_secret("1")), sender_id("1"))
    assert 0 <= first_number(time.time()) < 2**40
    assert first_number(0) == 0


def test_an_echo_replaces_the_one_before() -> None:
    tail = message.request_tail(("r", "x"), 42, b"report")
    once = with_echo(tail, b"first")
    assert with_echo(once, b"second!") == with_echo(tail, b"second!") != once


async def test_a_sender_answers_the_question_and_opens_answers() -> None:
    desk = Desk()
    enrolled(desk)
    await desk.start()
    try:
        async with Sender("127.0.0.1", desk.port) as sender:
            protected = ProtectedSender(sender, 100)
            tail = message.request_tail(("r", serial(3)), 42, b"report")
            answer = await protected.post(serial(3), tail)
            assert (answer.fate, answer.code, answer.payload) == (Fate.ANSWERED, message.CHANGED, b"")
            desk.commands.filed.append(CLOSE)
            assert (await protected.post(serial(3), tail)).payload == CLOSE.answer()
            foreign = await protected.post(serial(3), message.request_tail(("r", serial(4)), 42, b"x"))
            assert (foreign.fate, foreign.code) == (Fate.REFUSED, 0x81)
            desk.custody.failure = StreamFullError("full")
            busy = await protected.post(serial(3), tail)
            assert (busy.fate, busy.code) == (Fate.UNKNOWN, message.SERVICE_UNAVAILABLE)
            stranger = await protected.post("123456789012", tail)
            assert (stranger.fate, stranger.code) == (Fate.UNKNOWN, 0x81)  # unprotected: anybody may have said it
    finally:
        await desk.stop()


async def test_the_load_generator_plays_protected_reports() -> None:
    desk = Desk(ask_by_echo=False)
    enrolled(desk)
    await desk.start()
    plan = Plan(METERS, 200, 24, 1_767_225_600, 1)
    rows = ProtectedRows(ReportRows(plan), plan, 1000, 0, 200)
    table = ExchangeTable(np.full(200, np.nan), 4, Timers())
    try:
        with Volley("127.0.0.1", desk.port, table, rows.fill, rows.row_bytes, 4, rows.open) as volley:
            await asyncio.to_thread(volley.closed_loop, 10, 30.0)
            assert (table.count(2), volley.counts.stray, volley.codes) == (200, 0, {})
    finally:
        await desk.stop()
    assert sorted(payload for *_, payload in desk.custody.taken) == sorted(
        ReportRows(plan).payload(n) for n in range(200)
    )


def test_rows_open_their_answers_and_no_others() -> None:
    plan = Plan(METERS, 40, 24, 1_767_225_600, 1)
    rows = ProtectedRows(ReportRows(plan), plan, 5, 20, 20)
    assert rows.partial_iv(20) == 6
    assert rows.tail(21) == protected_meter(serial(1), 6).protect(message.POST, ReportRows(plan).tail(21))[1]
    with pytest.raises(ProtectionError):
        rows.open(-1, message.decode(bytes(4).replace(b"\0", b"\x60", 1)))
    assert USUAL_ANSWER_BYTES == 19
