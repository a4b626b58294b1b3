"""Observe-Composite (LwM2M core 1.2 section 6.4.4), with clients that know it, refuse it, and leave it unanswered."""

from __future__ import annotations

import asyncio

from gateway.coap.lwm2m.registration import registration_id
from metering.commands import CommandKind, WaitingCommand
from simulators import message as wire
from simulators.lwm2m_client import ANJAY, CHANGED, CREATED, WAKAAMA, Client, Style
from simulators.message import Message, Type
from tests.gateway.coap.lwm2m.conftest import DEVICE, OpenDesk, OpenMeter
from tests.gateway.conftest import until

DATA, FLOW, LINK = "/19/0/0", "/3424/0", "/4/0"
BOTH = f"{FLOW} {LINK}"
LINKS = "</1/1>,</3/0>,</4/0>,</19/0>,</19/1>,</3424/0>"
KNOWS = ANJAY._replace(links=LINKS)
FLOW_PACK, LINK_PACK = b"\x81\xa2\x00i/3424/0/1\x02\x05", b"\x81\xa2\x00f/4/0/2\x02\x38\x54"
PACK = b"\x82" + FLOW_PACK[1:] + LINK_PACK[1:]


class Silent(Client):
    """Leaves a FETCH without any answer, as Wakaama does."""

    def receive(self, datagram: bytes) -> bytes | None:
        return None if datagram[1] == 5 else super().receive(datagram)


def values() -> dict[str, tuple[int, bytes]]:
    return {DATA: (42, b"\x00"), FLOW: (112, FLOW_PACK), LINK: (112, LINK_PACK), "/3/0": (112, b"\x80")}


def client(style: Style = KNOWS) -> Client:
    return Client(f"urn:imei:{DEVICE}", style, values())


def fetches(made: Client) -> int:
    return made.asked.count("FETCH /")


async def test_all_paths_are_observed_in_one_and_again_after_each_registration(
    open_desk: OpenDesk, open_meter: OpenMeter
) -> None:
    desk = await open_desk()
    meter = await open_meter(desk.port, client())
    for times in (1, 2):
        assert (await meter.ask(meter.client.register())).code == CREATED
        await meter.until(lambda c: {DATA, BOTH} == set(c.observed))
        assert fetches(meter.client) == times
        pack = PACK.replace(b"\x02\x05", b"\x02" + bytes((times,)))
        assert (await meter.ask(meter.client.notify(BOTH, pack))).type == Type.ACK
        assert ["/", 112, pack] in desk.custody.items()
    assert desk.custody.items().count(["/", 112, PACK]) == 2  # the first answers
    record = await desk.store.get(registration_id(DEVICE))
    assert record is not None
    assert record.observed == (DATA, BOTH)
    assert "GET /3424/0" not in meter.client.asked


async def test_a_notification_of_it_is_known_after_a_restart(open_desk: OpenDesk, open_meter: OpenMeter) -> None:
    desk = await open_desk()
    meter = await open_meter(desk.port, client())
    await meter.ask(meter.client.register())
    await meter.until(lambda c: BOTH in c.observed)
    await meter.ask(meter.client.update())
    other = await open_desk()
    await meter.rebind(other.port)
    assert (await meter.ask(meter.client.notify(BOTH, PACK))).type == Type.ACK
    assert other.custody.items() == [["/", 112, PACK]]


async def test_who_refuses_or_is_older_is_observed_at_each_path(open_desk: OpenDesk, open_meter: OpenMeter) -> None:
    for style, asked, settings in (
        (KNOWS._replace(composite=False), 1, {}),
        (WAKAAMA._replace(links=LINKS), 0, {}),
        (KNOWS, 0, {"observe_composite": False}),
    ):
        desk = await open_desk(**settings)
        meter = await open_meter(desk.port, client(style))
        await meter.ask(meter.client.register())
        await meter.until(lambda c: {DATA, FLOW, LINK} == set(c.observed))
        assert fetches(meter.client) == asked
        await meter.ask(meter.client.update())
        assert fetches(meter.client) == asked


async def test_who_is_silent_is_not_asked_again_before_it_registers_anew(
    open_desk: OpenDesk, open_meter: OpenMeter
) -> None:
    desk = await open_desk(ack_timeout_s=0.05)
    meter = await open_meter(desk.port, Silent(f"urn:imei:{DEVICE}", KNOWS, values()))
    await meter.ask(meter.client.register())

    async def given_up() -> object:
        record = await desk.store.get(registration_id(DEVICE))
        return record is not None and not record.composite

    await until(given_up)
    assert (await meter.ask(meter.client.update())).code == CHANGED
    await meter.until(lambda c: {DATA, FLOW, LINK} == set(c.observed))


async def test_other_objects_make_another_observation_and_end_the_one_before(
    open_desk: OpenDesk, open_meter: OpenMeter
) -> None:
    desk = await open_desk(observe=["/3424", "/4", "/3411"])
    made = client()
    meter = await open_meter(desk.port, made)
    await meter.ask(made.register())
    await meter.until(lambda c: BOTH in c.observed)
    made.values["/3411/0"] = 112, b"\x80"
    made.style = KNOWS._replace(links=f"{LINKS},</3411/0>")
    update = made.register()  # the links of a registration, sent as an update
    made.observed[BOTH] = b"\x01" * 8
    message = _as_update(update, made.location)
    assert (await meter.ask(message)).code == CHANGED
    await meter.until(lambda c: f"{BOTH} /3411/0" in c.observed and BOTH not in c.observed)


def _as_update(registration: bytes, location: tuple[str, ...]) -> bytes:
    said: Message = wire.decode(registration)
    options = [(wire.URI_PATH, part.encode()) for part in location] + [(wire.CONTENT_FORMAT, b"\x28")]
    head = registration[:4] + said.token
    return head + wire.encode_options(options) + b"\xff" + said.payload


async def test_report_now_reads_each_path_of_it(open_desk: OpenDesk, open_meter: OpenMeter) -> None:
    desk = await open_desk()
    meter = await open_meter(desk.port, client())
    await meter.ask(meter.client.register())
    await meter.until(lambda c: BOTH in c.observed)
    desk.commands.file(WaitingCommand(bytes(8), CommandKind.REPORT_NOW, {}, 1_900_000_000))
    await until(lambda: asyncio.sleep(0, desk.commands.told[1:]))
    assert desk.commands.told[-1] == ("ended", bytes(8), 0, "")
    assert fetches(meter.client) == 2
