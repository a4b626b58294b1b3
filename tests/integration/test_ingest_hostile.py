"""Thousands of hostile payloads through the worker into the database: each is accounted for, none harms a good one."""

from __future__ import annotations

import os
import random

import psutil
from nats.js import JetStreamContext

from tests.integration.hostile_payloads import hostile_payload
from tests.integration.ingest_town import (
    FIRST_S,
    HOUR_S,
    accounts_hold,
    install,
    native,
    new_worker,
    open_letters,
    open_pool,
    publish,
    report,
    running,
    watermark_reaches,
)

SEED = 20261123
MESSAGES, REPORTS_A_MESSAGE = 50, 100
GOOD_EVERY = 20
MAX_GROWTH_BYTES = 64 << 20
"""From half of the messages to all of them; what a worker remembers grows with its devices, and these are two."""
UNFORESEEN = {"decoder_error", "write_error"}
"""Reasons of the nets below the decoders and the writer: right for a defect, wrong for any input known here."""


async def test_hostile_payloads_harm_nobody(js: JetStreamContext, database_url: str) -> None:
    source, process = random.Random(SEED), psutil.Process(os.getpid())
    good = hostile = half = 0
    async with open_pool(database_url) as pool:
        await install(pool, "404573900217")
        good_meter = await install(pool, "1001")
        async with running(new_worker(pool, js)):
            for number in range(MESSAGES):
                reports = []
                for position in range(REPORTS_A_MESSAGE):
                    if position % GOOD_EVERY == 0:
                        reports.append(report("1001", native(good, FIRST_S - good * HOUR_S, [10_000 - good])))
                        good += 1
                    else:
                        content_format, payload = hostile_payload(source)
                        reports.append(report("404573900217", payload, content_format=content_format))
                        hostile += 1
                await watermark_reaches(pool, await publish(js, *reports))
                if number == MESSAGES // 2:
                    half = process.memory_info().rss
        assert process.memory_info().rss - half < MAX_GROWTH_BYTES
        outcomes = await pool.fetch("SELECT outcome, readings_stored FROM reports WHERE device = '1001'")
        assert [tuple(row) for row in outcomes] == [("stored", 1)] * good
        assert await pool.fetchval("SELECT count(*) FROM readings WHERE meter_id = $1", good_meter) == good
        accounts = await accounts_hold(pool)
        assert accounts["received"] == good + hostile
        letters = await open_letters(pool)
        assert len(letters) == accounts["dead_lettered"] > hostile / 3
        assert UNFORESEEN.isdisjoint({letter["reason"] for letter in letters}), [
            letter for letter in letters if letter["reason"] in UNFORESEEN
        ][:3]
