"""What all ways have in common, and those that need no platform to be tried."""

import asyncio

import pytest

from simulators.doors.push import Push
from simulators.doors.udp import Oscore, Plain
from simulators.doors.way import NOTHING, Outgoing, Waiting, post
from simulators.exchange import Answer, Fate

TAKEN = Answer(Fate.ANSWERED, 0x44, b"")


def report(device="a", number=0):
    return Outgoing(device, "900000000001", 42, b"%d" % number, number)


class Slow(Waiting):
    name = "slow"

    def __init__(self):
        super().__init__()
        self.begun, self.go = [], asyncio.Event()

    async def deliver(self, report):
        self.begun.append((report.device, report.payload))
        await self.go.wait()
        if report.payload == b"13":
            raise RuntimeError("a defect of a client library")
        return TAKEN


async def test_a_meter_has_one_report_on_its_way_and_others_do_not_wait_for_it():
    way, ended = Slow(), []
    for device, number in (("a", 1), ("a", 2), ("b", 3)):
        way.send(report(device, number), ended.append)
    for _ in range(3):
        await asyncio.sleep(0)
    assert (way.begun, way.inflight) == ([("a", b"1"), ("b", b"3")], 3)
    way.go.set()
    assert await post(way, report("a", 4)) == TAKEN
    assert [payload for device, payload in way.begun if device == "a"] == [b"1", b"2", b"4"]
    assert ended == [TAKEN] * 3


async def test_a_defect_ends_a_report_and_not_the_town():
    way = Slow()
    way.go.set()
    assert await post(way, report("a", 13)) == NOTHING
    assert await post(way, report("a", 14)) == TAKEN


async def test_what_is_on_its_way_at_the_end_is_let_go():
    way = Slow()
    way.send(report(), lambda _: None)
    await asyncio.sleep(0)
    await way.close()
    assert way.inflight == 0


class Full:
    """A sender without room."""

    def submit(self, *_, **__):
        return False


@pytest.mark.parametrize("way", [Plain(Full()), Oscore(Full(), 0)], ids=lambda way: way.name)
async def test_a_report_for_which_there_is_no_room_ends_as_unknown(way):
    assert await post(way, report()) == NOTHING
    assert way.inflight == 0


@pytest.mark.parametrize(
    ("status", "fate"), [("200", Fate.ANSWERED), ("404", Fate.REFUSED), ("503", Fate.UNKNOWN)], ids=str
)
async def test_a_push_is_answered_by_its_status(status, fate):
    bodies = []

    async def serve(reader, writer):
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        bodies.append(await reader.readexactly(int(head.partition(b"content-length:")[2].split(b"\r\n")[0])))
        writer.write(f"HTTP/1.1 {status} Any\r\nContent-Length: 0\r\n\r\n".encode())
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    way = Push(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/push/x")
    assert (await post(way, report("861"))).fate is fate
    assert b'"IMEI":"861"' in bodies[0]
    await way.close()
    server.close()


async def test_a_platform_that_is_not_there():
    way = Push("http://127.0.0.1:1/push/x")
    assert (await post(way, report())).fate is Fate.UNKNOWN
    await way.close()
