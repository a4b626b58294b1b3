"""The way in: retransmissions, blocks, bounds, and who owns a conversation among several processes."""

from __future__ import annotations

import asyncio
from pathlib import Path

import aiocoap
import pytest
from nats.js import JetStreamContext

from gateway.coap.lwm2m import lane as lane_module
from gateway.coap.lwm2m import server as server_module
from gateway.coap.lwm2m.registration import registration_id
from metering.settings import Lwm2mSettings
from simulators.lwm2m_client import ANJAY, WAKAAMA, Client
from tests.gateway.coap.lwm2m.conftest import DEVICE, KEYED, OpenDesk, OpenMeter
from tests.gateway.conftest import ENTRIES, IMEI, OpenSender, StartGateway, until, write_snapshot

VALUES = {"/19/0/0": (42, b"\x00"), "/3424/0": (112, b"\x80"), "/3/0": (112, b"\x80")}


def client(**fields: object) -> Client:
    return Client(f"urn:imei:{DEVICE}", ANJAY, dict(VALUES), **fields)


async def test_a_retransmitted_registration_gets_the_same_answer_and_counts_once(
    open_desk: OpenDesk, open_sender: OpenSender
) -> None:
    desk = await open_desk(observe=[], read=[])
    sender = await open_sender(desk.port)
    datagram = client().register()
    first = await sender.ask(datagram)
    assert first[1] == 0x41
    writes = desk.store.writes
    assert await sender.ask(datagram) == first
    sender.send(datagram)
    assert await sender.receive() == first
    assert desk.store.writes == writes == 2
    assert desk.lane.gauges()["lwm2m_remembered_answers"][1]() == 1


async def test_blocks_of_a_registration_come_together(open_desk: OpenDesk, open_meter: OpenMeter) -> None:
    desk = await open_desk()
    context = await aiocoap.Context.create_client_context()
    many = ",".join(f"</{number}/0>" for number in range(10_000, 10_200))
    try:
        for links, code in ((f"</3/0>,</19/0>,{many}", "2.01"), (f"{many}," * 10, "4.13")):
            request = aiocoap.Message(
                code=aiocoap.POST, uri=f"coap://127.0.0.1:{desk.port}/rd?ep={DEVICE}&lt=60&b=U",
                payload=links.encode(), content_format=40,
            )  # fmt: skip
            answer = await asyncio.wait_for(context.request(request).response, 20)
            assert answer.code.dotted == code
            if code == "2.01":
                assert answer.opt.location_path == ("rd", registration_id(DEVICE).hex())
        record = await desk.store.get(registration_id(DEVICE))
        assert record is not None
        assert record.offer.paths[:2] == ("/3/0", "/19/0")
        assert len(record.offer.paths) == 202
        update = aiocoap.Message(
            code=aiocoap.POST, uri=f"coap://127.0.0.1:{desk.port}/rd/{registration_id(DEVICE).hex()}"
        )
        assert (await asyncio.wait_for(context.request(update).response, 20)).code == aiocoap.CHANGED
    finally:
        await context.shutdown()


async def test_an_answer_of_blocks_is_fetched_to_its_end(open_desk: OpenDesk, open_meter: OpenMeter) -> None:
    """Also one that a notification begins; it is acknowledged when the whole is in custody."""
    desk = await open_desk(observe=["/19/0/0"], read=[])
    long = bytes(range(250)) * 12
    meter = await open_meter(desk.port, Client(f"urn:imei:{DEVICE}", ANJAY, {"/19/0/0": (42, long)}))
    await meter.ask(meter.client.register())
    await until(lambda: asyncio.sleep(0, desk.custody.items() == [["/19/0/0", 42, long]]))
    assert (await meter.ask(meter.client.notify("/19/0/0", long[::-1]))).code == 0
    assert desk.custody.items()[1:] == [["/19/0/0", 42, long[::-1]]]
    too_long = bytes(70_000)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(2):
            await meter.ask(meter.client.notify("/19/0/0", too_long))
    assert len(desk.custody.items()) == 2


async def test_a_source_prefix_has_its_share_and_others_theirs(open_desk: OpenDesk, open_sender: OpenSender) -> None:
    desk = await open_desk(requests_per_second=5, observe=[], read=[])
    sender, played = await open_sender(desk.port), client()
    for _ in range(40):
        sender.send(played.register())
    for _ in range(10):
        assert (await sender.receive())[1] == 0x41

    async def silenced() -> bool:
        return desk.counters.silenced >= 25

    await until(silenced)


async def test_what_is_full_says_so(
    open_desk: OpenDesk, open_meter: OpenMeter, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = await open_desk(max_sessions=1)
    meter = await open_meter(desk.port, client())
    await meter.ask(meter.client.register())
    await meter.until(lambda c: {"/19/0/0", "/3424/0"} <= set(c.observed))
    other = await open_desk(vouched=True, max_sessions=1)
    keyed = await open_meter(other.port, Client(KEYED, WAKAAMA, {}))
    await keyed.ask(keyed.client.register())
    monkeypatch.setattr(lane_module, "MAX_IN_WORK", 0)
    refused = await meter.ask(meter.client.update())
    assert (refused.code, refused.options) == (0xA3, [(14, b"\x1e")])
    monkeypatch.undo()
    monkeypatch.setattr(server_module, "MAX_TASKS", 0)
    await meter.rebind()
    meter.tell(meter.client.notify("/19/0/0", b"x", confirmable=False))

    async def ignored() -> bool:
        return desk.counters.ignored["lwm2m_busy"] == 1

    await until(ignored)


async def test_sessions_are_bounded_and_swept(open_desk: OpenDesk, open_meter: OpenMeter) -> None:
    desk = await open_desk(awake_s=0.2, observe=[], read=[])
    meter = await open_meter(desk.port, client())
    await meter.ask(meter.client.register())
    sessions = desk.lane.server.sessions

    async def asleep() -> bool:
        sessions.sweep()
        return not len(sessions)

    await until(asleep)
    assert (await meter.ask(meter.client.update())).code == 0x44
    await until(lambda: asyncio.sleep(0, len(sessions) == 1))


async def test_strange_notifications_are_reset_and_cost_their_prefix_its_share(
    open_desk: OpenDesk, open_sender: OpenSender
) -> None:
    desk = await open_desk(requests_per_second=10)
    sender = await open_sender(desk.port)
    con = bytes.fromhex("48450001") + registration_id("nobody") + b"\x00" + b"\x61\x05\xffx"
    assert await sender.ask(con) == bytes.fromhex("70000001")
    request_token = bytes.fromhex("48450002") + registration_id("nobody") + b"\x80" + b"\xffx"
    assert await sender.ask(request_token) == bytes.fromhex("70000002")
    short_token = bytes.fromhex("41450003aa") + b"\xffx"
    assert await sender.ask(short_token) == bytes.fromhex("70000003")
    assert await sender.ask(bytes.fromhex("40000004")) == bytes.fromhex("70000004")  # a ping
    for _ in range(100):
        sender.send(con)

    async def silenced() -> bool:
        return desk.counters.silenced >= 50

    await until(silenced)
    assert desk.custody.reports == []


async def test_a_vouched_device_speaks_for_itself_alone(open_desk: OpenDesk, open_meter: OpenMeter) -> None:
    desk = await open_desk(vouched=True, observe=["/19/0/0"])
    other = await open_meter(desk.port, client())
    assert (await other.ask(other.client.register())).code == 0x83
    meter = await open_meter(desk.port, Client(KEYED, ANJAY, dict(VALUES)))
    assert (await meter.ask(meter.client.register())).code == 0x41
    await meter.until(lambda c: "/19/0/0" in c.observed)
    await meter.rebind()
    assert (await meter.ask(meter.client.send(b"\x80"))).code == 0x44  # known by its key, wherever it is
    plain = await open_desk()
    await meter.rebind(plain.port)
    assert (await meter.ask(meter.client.update())).code == 0x83  # a device with a key must use it
    assert (await meter.ask(meter.client.send(b"\x80"))).code == 0x84


async def test_in_plain_a_silent_address_may_be_anothers_by_now(open_desk: OpenDesk, open_meter: OpenMeter) -> None:
    """A NAT, or a network that gives addresses out anew, puts another meter at the address of one that sleeps: its Send
    must not become the other's reading."""
    desk = await open_desk(observe=[], read=[], send_fresh_s=600)
    meter = await open_meter(desk.port, client())
    played = meter.client
    assert (await meter.ask(played.register())).code == 0x41
    assert (await meter.ask(played.send(b"\x80"))).code == 0x44
    desk.wall_s = 599
    desk.lane.server.sessions.close()  # as of one that sleeps, or after a restart
    assert (await meter.ask(played.send(b"\x81"))).code == 0x44
    desk.wall_s = 602
    desk.lane.server.sessions.close()
    assert (await meter.ask(played.send(b"\x82"))).code == 0x84
    by_name = played._request(2, ("dp",), [f"ep=urn:imei:{DEVICE}"], 112, b"\x83", b"")
    assert (await meter.ask(by_name)).code == 0x44
    desk.lane.server.sessions.close()
    assert (await meter.ask(played.update())).code == 0x44
    assert (await meter.ask(played.send(b"\x85"))).code == 0x44
    foreign = played._request(2, ("dp",), [f"ep={KEYED}"], 112, b"\x86", b"")
    assert (await meter.ask(foreign)).code == 0x83
    sent = [item[2] for item in desk.custody.items()]
    assert sent == [b"\x80", b"\x81", b"\x83", b"\x85"]


async def test_in_plain_an_address_is_whose_registered_there_last_at_any_gateway(
    open_desk: OpenDesk, open_meter: OpenMeter
) -> None:
    """This process heard a client there a second ago; at another gateway somebody else registered from there since."""
    desk = await open_desk(observe=[], read=[])
    meter = await open_meter(desk.port, client())
    assert (await meter.ask(meter.client.register())).code == 0x41
    assert (await meter.ask(meter.client.send(b"\x80"))).code == 0x44
    key = bytes.fromhex(meter.client.location[1])
    record = await desk.store.get(key)
    assert record is not None
    await desk.store.put_peer(record.peer, registration_id("another"), 60)
    assert (await meter.ask(meter.client.send(b"\x81"))).code == 0x84
    assert (await meter.ask(meter.client.update())).code == 0x44
    assert (await meter.ask(meter.client.send(b"\x82"))).code == 0x44
    await desk.store.put(key, record._replace(peer="127.0.0.1:1"), 60)  # it was heard from elsewhere
    assert (await meter.ask(meter.client.send(b"\x83"))).code == 0x84
    assert [item[2] for item in desk.custody.items()] == [b"\x80", b"\x82"]


async def test_an_address_that_was_heard_in_the_future_vouches_for_nobody(
    open_desk: OpenDesk, open_meter: OpenMeter
) -> None:
    """The clock of a gateway was days ahead, and is right again: the address would count for days."""
    desk = await open_desk(observe=[], read=[], send_fresh_s=600)
    desk.wall_s = 200_000
    meter = await open_meter(desk.port, client())
    assert (await meter.ask(meter.client.register())).code == 0x41
    desk.wall_s = 0
    desk.lane.server.sessions.close()  # as at another gateway
    assert (await meter.ask(meter.client.send(b"\x80"))).code == 0x84
    assert (await meter.ask(meter.client.update())).code == 0x44
    assert (await meter.ask(meter.client.send(b"\x81"))).code == 0x44


async def test_a_conversation_does_not_bring_a_deregistered_client_back(
    open_desk: OpenDesk, open_meter: OpenMeter, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = await open_desk(observe=["/19/0/0"], read=[])
    meter = await open_meter(desk.port, client())
    await meter.ask(meter.client.register())
    await meter.until(lambda c: "/19/0/0" in c.observed)
    delete = desk.store.delete

    async def delete_slowly(key: bytes) -> None:
        await delete(key)
        if (session := desk.lane.server.sessions.get(key)) is not None:
            await session.save()

    monkeypatch.setattr(desk.store, "delete", delete_slowly)
    assert (await meter.ask(meter.client.deregister())).code == 0x42
    assert (await meter.ask(meter.client.update())).code == 0x84


def test_the_settings_refuse_what_is_no_path() -> None:
    with pytest.raises(ValueError, match="pattern"):
        Lwm2mSettings.model_validate({"observe": ["19/0/0"]})
    with pytest.raises(ValueError, match="pattern"):
        Lwm2mSettings.model_validate({"models": {"m": {"valve": "/1/2"}}})


async def test_each_conversation_has_one_owner_among_the_workers(
    js: JetStreamContext, start_gateway: StartGateway, open_meter: OpenMeter, tmp_path: Path
) -> None:  # fmt: skip
    directory = tmp_path / "workers"
    directory.mkdir(mode=0o700)
    await write_snapshot(js, ENTRIES)
    shared = {"workers": 2, "workers_directory": directory}
    first = await start_gateway(**shared, worker=0)
    second = await start_gateway(**shared, worker=1, port=first.port)
    workers = [first, second]
    played = Client(f"urn:imei:{IMEI}", ANJAY, dict(VALUES))
    meter = await open_meter(first.port, played)
    for _ in range(12):  # source ports: the kernel gives them to either
        assert (await meter.ask(played.register())).code == 0x41
        await meter.until(lambda c: {"/19/0/0", "/3424/0"} <= set(c.observed))
        assert (await meter.ask(played.notify("/19/0/0", b"x"))).code == 0
        assert (await meter.ask(played.update())).code == 0x44
        await meter.rebind()
    sessions = [await worker.metric("nbwater_gateway_lwm2m_sessions") for worker in workers]
    assert sorted(sessions) == [0, 1]
    assert sum([await worker.metric("nbwater_gateway_passed_on_datagrams_total") for worker in workers]) > 0
    owner = workers[sessions.index(1)]
    owner.process.kill()
    await owner.process.wait()
    for _ in range(4):
        await meter.rebind()
        assert (await meter.ask(played.update())).code == 0x44
        assert (await meter.ask(played.notify("/19/0/0", b"y"))).code == 0
