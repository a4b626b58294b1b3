"""Whoever knocks is counted in bounds, and told."""

from __future__ import annotations

import asyncio

import pytest

from gateway import strangers as module
from gateway.strangers import MAX_NAMES_PER_SOURCE, Strangers, tell_strangers
from metering.model import Door
from metering.strangers import STRANGERS_SUBJECT, Knock, decode_knocks


def test_knocks_of_one_name_are_one_row_with_the_latest_word() -> None:
    strangers = Strangers()
    strangers.knock("861", Door.COAP, "10.0.0.1", "unknown_device")
    strangers.knock("861", Door.MQTT, "10.0.0.2", "unknown_user")
    assert strangers.drain() == [Knock("861", Door.MQTT, "10.0.0.2", "unknown_user", 2)]
    assert strangers.drain() == []


def test_neither_one_sender_nor_all_of_them_fill_the_memory() -> None:
    strangers = Strangers(limit=100)
    for number in range(1000):
        strangers.knock(f"one sender {number}", Door.COAP, "10.0.0.1", "unknown_device")
    assert len(strangers) == MAX_NAMES_PER_SOURCE
    for number in range(1000):
        strangers.knock(f"{number}", Door.COAP, f"10.0.{number % 250}.2", "unknown_device")
    assert len(strangers) == 100
    assert strangers.lost == 1000 - MAX_NAMES_PER_SOURCE + 1000 - (100 - MAX_NAMES_PER_SOURCE)
    strangers.drain()
    strangers.knock("again", Door.COAP, "10.0.0.1", "unknown_device")
    assert len(strangers) == 1


def test_names_are_cut_and_cleaned() -> None:
    strangers = Strangers()
    strangers.knock("", Door.COAP, "10.0.0.1", "unknown_device")
    strangers.knock("a\n" * 1000, Door.COAP, "10.0.0.1", "unknown_device")
    (knock,) = strangers.drain()
    assert knock.name == "a?" * 32


async def test_they_are_told_every_few_seconds_and_lost_when_nobody_hears(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FLUSH_S", 0.01)
    strangers, asked, told = Strangers(), asyncio.Event(), asyncio.Queue()

    async def tell(subject: str, body: bytes) -> None:
        if not asked.is_set():
            asked.set()
            raise ConnectionError
        told.put_nowait((subject, body))

    task = asyncio.create_task(tell_strangers(strangers, tell))
    strangers.knock("lost", Door.COAP, "10.0.0.1", "unknown_device")
    await asyncio.wait_for(asked.wait(), 30)
    strangers.knock("heard", Door.COAP, "10.0.0.1", "unknown_device")
    subject, body = await asyncio.wait_for(told.get(), 30)
    task.cancel()
    knock = Knock("heard", Door.COAP, "10.0.0.1", "unknown_device", 1)
    assert (subject, decode_knocks(body)) == (STRANGERS_SUBJECT, [knock])
    assert strangers.lost == 1
