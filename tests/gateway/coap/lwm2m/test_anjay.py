"""What AVSystem's Anjay 3.14.0 (its demo client) was recorded to say to `nbwater up`, played to the real server.

Recorded 2026-11-28; the IMEI is the test's, of as many digits. The client itself is no part of this repository.
"""

from __future__ import annotations

import pytest

from gateway.coap.lwm2m.registration import registration_id
from gateway.dtls.records import find_client_hello, read_records
from tests.gateway.coap.lwm2m.conftest import DEVICE, OpenDesk
from tests.gateway.conftest import OpenSender

RECORDED_IMEI = b"861234500000001"
LINKS = (
    b"</1/1>,</2>,</3/0>,</4/0>,</5/0>,</6/0>,</7/0>,</10>;ver=1.1,</10/0>,</11>,</16>,</19>,</20/0>,</3303/0>,</3313/0>,"
    b"</3347/0>,</33605>,</33606/0>,</33607/0>,</33608>,</33609/0>"
)
REGISTER = {
    (1, 0): "4802349341623169d7da2b05b272641128396c776d326d3d312e30",
    (1, 1): "48028174a6369b4733b66c99b272641128396c776d326d3d312e31",
    (1, 2): "48027f002ac34a9aaf39d9fdb272641128396c776d326d3d312e32",
}
ENDPOINT = "0d0e65703d75726e3a696d65693a383631323334353030303030303031056c743d3630"
"""ep and lt, after which a client in queue mode says a bare Q."""
SEND = (
    "48027f0990bd0ae774e368c3b264701170ff82a3006c2f333330332f302f3537303022fb41dac298a7e05ce302fa41b00000a200662f332f30"
    "2f390200"
)
SEND_ITEMS = SEND[SEND.index("ff82") + 2 :]
CLIENT_HELLO = (
    "16fe00000000000000000000dc010000d000000000000000d0fefd6b0a647de46fc99821642815bced6299370910bfbbaf780b90127d1cf437"
    "5eb60000004cccacccad00abc0a7c03800b3c0360091c091c09bc097c0ab00aac0a6c03700b2c0350090c090c096c09ac0aaccab00a9c0a500"
    "af008dc08fc095c0a900a8c0a400ae008cc08ec094c0a800ff0100005a0000000e000c0000093132372e302e302e31000d0012001006030601"
    "050305010403040103030301000a001c001a0019001c0018001b00170016001a0015001400130012001d001e000b0002010000160000001700"
    "0000230000"
)
"""Before it has heard from the server, in a record of version 0xFE00."""


def played(recorded: str, payload: bytes = b"") -> bytes:
    return bytes.fromhex(recorded).replace(RECORDED_IMEI, DEVICE.encode()) + (b"\xff" + payload if payload else b"")


@pytest.mark.parametrize("version", list(REGISTER))
async def test_it_registers_and_its_send_is_a_report(
    open_desk: OpenDesk, open_sender: OpenSender, version: tuple[int, int]
) -> None:
    desk = await open_desk(observe=[], read=[])
    sender = await open_sender(desk.port)
    queue = "0151" if version == (1, 2) else ""
    links = LINKS.replace(b"ver=1.1", b'ver="1.1"') if version == (1, 0) else LINKS
    assert (await sender.ask(played(REGISTER[version] + ENDPOINT + queue, links)))[1] == 0x41
    record = await desk.store.get(registration_id(DEVICE))
    assert record is not None
    assert (record.version, record.lifetime_s, record.queue) == (version, 60, bool(queue))
    assert record.offer.has(19)
    assert {"/10/0", "/3303/0", "/33609/0"} <= set(record.offer.paths)
    assert (await sender.ask(played(SEND)))[1] == 0x44
    assert desk.custody.items() == [["/", 112, bytes.fromhex(SEND_ITEMS)]]


def test_its_first_record_is_read_and_a_later_one_of_that_version_is_not() -> None:
    datagram = bytes.fromhex(CLIENT_HELLO)
    (record,) = read_records(datagram)
    hello = find_client_hello(record)
    assert hello is not None
    assert (hello.has_cookie, 0xC0A8 in hello.suites) == (False, True)
    in_epoch_1 = datagram[:4] + b"\x01" + datagram[5:]
    application_data = b"\x17" + datagram[1:]
    foreign = datagram[:1] + b"\x03\x03" + datagram[3:]
    assert read_records(in_epoch_1) == read_records(application_data) == read_records(foreign) == []
