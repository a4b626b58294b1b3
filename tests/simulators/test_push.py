"""The simulated platform behaves as PROTOCOLS C says the real one does."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from simulators.http_line import Receiver
from simulators.platform_rules import CONSECUTIVE, PAUSE_S, RETRIES, CoolDown, ctwing_push
from simulators.push import PushPlatform, pushed_meters


def test_a_hundred_failures_in_a_row_are_a_pause() -> None:
    rules = CoolDown()
    for number in range(CONSECUTIVE):
        rules.pushed(False, 11.0 * number)
        assert not rules.is_pausing(11.0 * number)
    rules.pushed(False, 2000.0)
    assert rules.is_pausing(2000.0 + PAUSE_S - 1)
    assert not rules.is_pausing(2000.0 + PAUSE_S)


def test_one_failure_in_nine_is_a_pause_and_one_in_fifteen_is_none() -> None:
    for every, pauses in ((9, 1), (15, 0)):
        rules = CoolDown()
        for number in range(40):
            rules.pushed(number % every != 5, number / 10)
        assert min(rules.pauses, 1) == pauses


def test_a_push_is_what_ctwing_posts() -> None:
    content = json.loads(ctwing_push("861234567890123", b"\x68\x16", 1606093200000, 7))
    assert base64.b64decode(content["payload"]["APPdata"]) == b"\x68\x16"
    assert (content["messageType"], content["topic"], content["IMEI"]) == ("dataReport", "v1/up/ad", "861234567890123")


def test_pushed_meters_have_imeis_and_are_always_the_same() -> None:
    meters = pushed_meters(7, 20)
    assert all(meter.label.imei for meter in meters)
    assert [meter.label for meter in meters] == [meter.label for meter in pushed_meters(7, 20)]


@asynccontextmanager
async def receiver(status: Callable[[int], int]) -> AsyncIterator[tuple[Receiver, list[bytes]]]:
    """An HTTP server that answers its nth request with `status(n)`."""
    seen: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                seen.append(await reader.readexactly(int(head.partition(b"content-length: ")[2].split()[0])))
                writer.write(b"HTTP/1.1 %d X\r\nContent-Length: 0\r\n\r\n" % status(len(seen)))
        except asyncio.IncompleteReadError:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield Receiver(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/push/x"), seen


async def test_a_failed_push_is_tried_three_times_more() -> None:
    async with receiver(lambda number: 503 if number < 3 else 200) as (to, seen):
        async with PushPlatform(to, connections=1, retry_s=0) as platform:
            platform.push(b"one")
        assert seen == [b"one"] * 3
        assert (platform.counts.taken, platform.counts.retries) == (1, 2)


async def test_what_comes_in_during_a_pause_is_never_pushed() -> None:
    async with receiver(lambda _: 503) as (to, seen):
        async with PushPlatform(to, pause_s=600, connections=4, retry_s=0) as platform:
            for number in range(30):
                platform.push(b"%d" % number)
        before = len(seen)
        async with PushPlatform(to, pause_s=600, retry_s=0) as later:
            later._cool_down = platform._cool_down
            later.push(b"lost")
        assert len(seen) == before <= 30 * (1 + RETRIES)
        assert (later.counts.never_pushed, platform.counts.pauses) == (1, 1)
