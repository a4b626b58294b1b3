"""The spool on a real disk, without a gateway around it."""

from __future__ import annotations

import asyncio
import contextlib
import zlib
from collections.abc import AsyncIterator
from pathlib import Path

import cbor2
import pytest

from gateway.custody import mint
from gateway.push import spool as spool_module
from gateway.push.spool import Spool
from gateway.push.spool_file import HEAD, Kept, record, records, segments
from metering.errors import SpoolFullError, StartError
from metering.model import Authentication, ContentFormat, Door


def kept(number: int, payload_bytes: int = 100) -> Kept:
    payload = b"%d " % number + b"x" * payload_bytes
    return Kept(*mint(), Door.CTWING, ("861234567890123", "é"), ContentFormat.CTWING, payload, "east 10.0.0.1")


@contextlib.asynccontextmanager
async def running(directory: Path, max_bytes: int = 1 << 20) -> AsyncIterator[Spool]:
    spool = Spool(directory, max_bytes)
    spool.open()
    task = asyncio.create_task(spool.run())
    try:
        yield spool
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        spool.close()


async def append_all(spool: Spool, reports: list[Kept]) -> list[bool]:
    outcomes: list[bool] = []
    for report in reports:
        spool.append(report, outcomes.append)
    await spool.flushed()
    return outcomes


async def read_all(spool: Spool) -> list[Kept]:
    found: list[Kept] = []
    while some := await spool.peek():
        found += some
        spool.consumed()
    return found


async def test_what_was_appended_comes_back_in_order_and_the_files_go(tmp_path: Path) -> None:
    reports = [kept(number) for number in range(500)]
    async with running(tmp_path) as spool:
        assert await append_all(spool, reports) == [True] * 500
        assert spool.fsyncs < 50
        assert await read_all(spool) == reports
        assert spool.is_empty
        assert segments(tmp_path) == []
        assert await append_all(spool, reports[:1]) == [True]
        assert await read_all(spool) == reports[:1]


async def test_what_was_not_consumed_is_there_in_the_next_life(tmp_path: Path) -> None:
    reports = [kept(number) for number in range(10)]
    async with running(tmp_path) as spool:
        await append_all(spool, reports)
        assert await spool.peek() == reports
    async with running(tmp_path) as spool:
        assert spool.filled.is_set()
        more = [kept(number) for number in range(10, 12)]
        await append_all(spool, more)
        assert await read_all(spool) == reports + more


@pytest.mark.parametrize("damage", [b"\0", b"\xff" * 40, HEAD.pack(100, 1) + b"y" * 100, HEAD.pack(3, 0) + b"abc"])
async def test_a_torn_or_broken_end_costs_only_itself(tmp_path: Path, damage: bytes) -> None:
    reports = [kept(number) for number in range(3)]
    async with running(tmp_path) as spool:
        await append_all(spool, reports)
    with segments(tmp_path)[0].open("ab") as file:
        file.write(damage)
    async with running(tmp_path) as spool:
        later = [kept(9)]
        await append_all(spool, later)
        assert await read_all(spool) == reports + later
        assert spool.torn == 1
        assert spool.is_empty


async def test_it_is_bounded(tmp_path: Path) -> None:
    async with running(tmp_path, max_bytes=10_000) as spool:
        with pytest.raises(SpoolFullError):
            await append_all(spool, [kept(number, 1000) for number in range(20)])
        await spool.flushed()
        assert spool.size_bytes <= 10_000
        assert len(await read_all(spool)) >= 7
        assert await append_all(spool, [kept(1)]) == [True]


async def test_many_segments_are_read_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool_module, "SEGMENT_BYTES", 2_000)
    reports = [kept(number) for number in range(60)]
    async with running(tmp_path) as spool:
        for at in range(0, 60, 10):
            await append_all(spool, reports[at : at + 10])
        assert len(segments(tmp_path)) > 2
        assert await read_all(spool) == reports


async def test_a_disk_that_takes_nothing_is_told_to_the_sender(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    async with running(tmp_path) as spool:
        before, after = [kept(1)], [kept(2)]
        await append_all(spool, before)
        with monkeypatch.context() as patch:
            patch.setattr(spool_module, "_append", full)
            assert await append_all(spool, [kept(3)]) == [False]
        assert await append_all(spool, after) == [True]
        assert await read_all(spool) == before + after
        assert spool.failures == 1


async def test_one_process_at_a_time(tmp_path: Path) -> None:
    async with running(tmp_path):
        with pytest.raises(StartError, match="another process"):
            Spool(tmp_path, 1000).open()
    with pytest.raises(StartError):
        Spool(tmp_path / "lock", 1000).open()


def test_what_an_earlier_release_kept_speaks_for_bound_devices() -> None:
    report = kept(1)._replace(stamp=Authentication.UNBOUND_PUSHER)
    body = cbor2.dumps(list(report)[:-1])
    old = HEAD.pack(len(body), zlib.crc32(body)) + body
    unknown = cbor2.dumps([*list(report)[:-1], "claimed"])
    wrong = HEAD.pack(len(unknown), zlib.crc32(unknown)) + unknown
    found, _, broken = records(old + record(report) + wrong)
    assert found == [report._replace(stamp=Authentication.PUSHER), report]
    assert broken


def test_a_record_is_read_whole_or_not_at_all() -> None:
    one, two = record(kept(1)), record(kept(2))
    for cut in range(len(two)):
        found, used, _ = records(one + two[:cut])
        assert (len(found), used) == (1, len(one))
    assert len(records(one + two)[0]) == 2
