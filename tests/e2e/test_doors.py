"""Issue 4, seen from outside: a meter's day through every door of one `nbwater up`, and who is refused at which."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Iterator
from typing import Any

import cbor2
import httpx
import pytest

from simulators import message, payloads
from simulators.keys import protected_meter
from simulators.lwm2m import Lwm2mMeter
from simulators.lwm2m_client import CHANGED, CREATED
from simulators.lwm2m_oscore import ProtectedLwm2mMeter
from simulators.message import HEAD, Message, Type, code_text, first_byte
from simulators.oscore import ProtectedMeter, with_echo
from tests.e2e.city import APPLICATION_DATA, City, Meter, open_city, run, until
from tests.e2e.knocks import DOORS, WITH_KEY, WITHOUT_KEY, by_mqtt, ctwing_push
from tests.e2e.tunnel import Tunnel
from tests.gateway.push.north.stub import StubPlatform

SEQ = 4711
FIRST_S = int(time.time()) // 86_400 * 86_400 - 86_400
DAY = [(FIRST_S + 3_600 * hour, 123_456 + 40 * hour + hour % 5) for hour in range(24)]
MOVER, THIEF, VICTIM, SLEEPER, REPLAYED, KEEPER, NOBODY, WRAPPED = map(Meter, range(1, 9))
FIRST_OF = {door: Meter(10 + number) for number, door in enumerate(DOORS)}
BATTERY_MV = {door: 3_600 + number for number, door in enumerate(DOORS)}
"""Measured anew for each copy of the day, so that no door takes it for a retransmission: ingest has to know it."""

FORBIDDEN, NOT_FOUND, TOO_LARGE, BAD_REQUEST = 0x83, 0x84, 0x8D, 0x80
BLOCK1 = 27


@pytest.fixture(scope="module")
def city() -> Iterator[City]:
    stub = StubPlatform()
    with open_city(stub, NBWATER_LWM2M_GRACE_S="0") as made:
        keyed = [THIEF, VICTIM, REPLAYED, WRAPPED, *(FIRST_OF[door] for door in WITH_KEY)]
        made.import_meters([MOVER, SLEEPER, KEEPER, *keyed, *(FIRST_OF[door] for door in WITHOUT_KEY)])
        made.import_keys(keyed)
        yield made
    stub.close()


def day(door: str) -> bytes:
    return payloads.encode_cbor(payloads.Report(SEQ, DAY, {"battery_mv": BATTERY_MV[door]}))


def report(seq: int) -> bytes:
    return payloads.encode_cbor(payloads.Report(seq, DAY[:1]))


async def readings(city: City, meter: Meter) -> list[tuple[int, int]]:
    rows = await city.rows(
        "SELECT extract(epoch FROM ts)::bigint AS ts_s, index_ml / 1000 AS litres FROM readings "
        "JOIN meters USING (meter_id) WHERE serial = $1 ORDER BY ts", meter.serial,
    )  # fmt: skip
    return [(row["ts_s"], row["litres"]) for row in rows]


async def test_a_day_is_the_same_through_every_door(city: City) -> None:
    """Each door takes the day of a meter of its own."""
    await city.until_keyed(FIRST_OF["mqtt"])
    for door, send in DOORS.items():
        await send(city, FIRST_OF[door], day(door))
    for door, meter in FIRST_OF.items():

        async def stored(meter: Meter = meter) -> bool:
            return await readings(city, meter) == DAY

        await until(stored, f"the day of {door}")


async def test_a_meter_that_moves_from_door_to_door_is_stored_once(city: City) -> None:
    for door in WITHOUT_KEY:
        await DOORS[door](city, MOVER, day(door))
    city.import_keys([MOVER])
    await city.until_keyed(MOVER)
    for door in WITH_KEY:
        await DOORS[door](city, MOVER, day(door))
    query = "SELECT battery_mv, outcome, readings_stored FROM reports WHERE device = $1 AND battery_mv IS NOT NULL"

    async def all_in() -> list[Any]:
        rows = await city.rows(query, MOVER.imei)
        return rows if {row["battery_mv"] for row in rows} == set(BATTERY_MV.values()) else []

    rows = await until(all_in, "every copy is in the database")
    assert sorted(row["outcome"] for row in rows) == ["duplicate"] * (len(rows) - 1) + ["stored"]
    assert sum(row["readings_stored"] for row in rows) == 24
    assert await readings(city, MOVER) == DAY
    accounts = await city.rows(
        "SELECT door, sum(received) AS received, sum(stored + partial + duplicate + dead_lettered) AS ended, "
        "sum(partial + dead_lettered) AS bad FROM accounting GROUP BY door"
    )
    assert {row["door"] for row in accounts} == {"coap", "oscore", "dtls", "lwm2m", "mqtt", "ctwing", "iotda"}
    assert all((row["received"], row["bad"]) == (row["ended"], 0) for row in accounts)


async def test_what_nobody_can_read_is_kept_and_shown(city: City) -> None:
    """A resource of an object that no decoder knows; a push with no frame in it; a push of nobody's meter."""
    pack = cbor2.dumps([{-2: "/33000/0/", 0: "1", 2: 4711}, {0: "2", 3: "Wassermarke"}])
    async with Lwm2mMeter("127.0.0.1", city.coap_port, KEEPER.client()) as device:
        assert (await device.ask(device.client.register())).code == CREATED
        assert (await device.ask(device.client.send(pack))).code == CHANGED
    url, who = f"{city.up.instance['api_url']}/api/v1/meters/{KEEPER.serial}/reports", await city.token("reader")

    async def shown() -> bool:
        async with httpx.AsyncClient(timeout=60) as client:
            found = (await client.get(url, headers=who)).json()["items"]
        return any("/33000/0/1" in str(row["extra"]) and "Wassermarke" in str(row["extra"]) for row in found)

    await until(shown, "the unknown resources are shown with the report")
    for meter in (KEEPER, NOBODY):
        assert await city.curl("ctwing", ctwing_push(meter, b"no frame")) == "200"

    async def letters() -> bool:
        rows = await city.rows("SELECT device, reason FROM dead_letters WHERE door = 'ctwing' AND replayed_at IS NULL")
        return {row["device"] for row in rows} == {KEEPER.imei, NOBODY.imei} and len(rows) == 2

    await until(letters, "two dead letters")
    done = city.up.nbwater("doctor")
    assert (done.returncode, done.stdout.count("ok  ")) == (0, 4), done.stdout + done.stderr


async def test_a_wrong_key_opens_no_door(city: City) -> None:
    await city.until_keyed(THIEF)
    row = protected_meter(THIEF.serial, 0)
    stranger = ProtectedMeter(bytes(16), row.sender_id)
    answer = await ask(city.coap_port, post(1, stranger.protect(message.POST, tail(THIEF, report(1)))[1]))
    assert code_text(answer.code) == "4.00"
    for client in ("coap-client-openssl", "coap-client-gnutls"):
        said = await city.libcoap(client, THIEF, report(1), key="no-key-of-any-meter")
        assert "2.04" not in said
    assert await city.mosquitto_pub(THIEF, report(1), password="of nobody, not even of him") != 0
    assert await city.curl("ctwing", b"{}", "/push/a-secret-path-of-nobody") == "404"
    assert await reports_of(city, THIEF) == 0


async def test_a_meter_that_has_a_key_must_use_it(city: City) -> None:
    await city.until_keyed(VICTIM)
    assert "4.01" in await city.libcoap("coap-client-notls", VICTIM, report(1))
    async with Lwm2mMeter("127.0.0.1", city.coap_port, VICTIM.client()) as device:
        assert (await device.ask(device.client.register())).code == FORBIDDEN
        assert (await device.ask(device.client.bind())).code == FORBIDDEN
        assert (await device.ask(device.client.send(b"\x80"))).code not in (CHANGED, 0)
    assert await reports_of(city, VICTIM) == 0


async def test_a_meter_speaks_for_itself_only(city: City) -> None:
    """With good keys, to the path, the endpoint and the topic of another."""
    await city.until_keyed(VICTIM)
    assert (await city.post(THIEF, report(1), VICTIM.imei, protected=True)).code.dotted == "4.01"
    for client in ("coap-client-openssl", "coap-client-gnutls"):
        assert "4.01" in await city.libcoap(client, THIEF, report(1), path=VICTIM.imei)
    async with (
        Tunnel(city.coaps_port, f"urn:imei:{THIEF.imei}", THIEF.psk.encode()) as tunnel,
        Lwm2mMeter("127.0.0.1", tunnel.port, VICTIM.client()) as device,
    ):
        assert (await device.ask(device.client.register())).code == FORBIDDEN
    await city.mosquitto_pub(THIEF, report(1), topic_of=VICTIM)  # acknowledged and dropped, as MQTT 3.1.1 has it
    await by_mqtt(city, THIEF, report(2))
    await until(lambda: reports_of(city, THIEF), "what it says of itself is taken")
    assert (await reports_of(city, THIEF), await reports_of(city, VICTIM)) == (1, 0)


async def test_a_registration_that_is_over_carries_nothing(city: City) -> None:
    client = SLEEPER.client()
    client.lifetime_s = 1
    async with Lwm2mMeter("127.0.0.1", city.coap_port, client) as device:
        assert (await device.ask(client.register())).code == CREATED
        await device.until(lambda client: APPLICATION_DATA in client.observed)
        await asyncio.sleep(3)  # its lifetime, in whole seconds of two clocks
        assert (await device.ask(client.update())).code == NOT_FOUND
        assert (await device.ask(client.notify(APPLICATION_DATA, report(1), confirmable=True))).type == Type.RST
        assert (await device.ask(client.send(b"\x80"))).code not in (CHANGED, 0)
        assert await city.rows("SELECT FROM reports WHERE device = $1 AND readings > 0", SLEEPER.imei) == []
        assert (await device.ask(client.register())).code == CREATED


async def test_a_transfer_in_blocks_that_is_too_large_is_refused_and_harms_nobody(city: City) -> None:
    """Of a report and of a registration, at a block that would end beyond the bound, however it began."""
    for path, payload in ((("r", KEEPER.imei), b"x" * 64), (("rd",), b"</3/0>," * 9 + b"</1>")):
        options = [(message.URI_PATH, part.encode()) for part in path] + [(message.CONTENT_FORMAT, b"\x2a")]
        if path == ("rd",):
            options.append((15, f"ep={KEEPER.imei}".encode()))
        block = (5_000 << 4 | 8 | 2).to_bytes(3, "big")
        tail = message.encode_options([*options, (BLOCK1, block)]) + b"\xff" + payload
        assert (await ask(city.coap_port, post(1, tail))).code == TOO_LARGE
    async with Lwm2mMeter("127.0.0.1", city.coap_port, KEEPER.client()) as device:
        assert (await device.ask(device.client.register())).code == CREATED


async def test_lwm2m_takes_no_wrong_key_and_the_right_one_within_oscore(city: City) -> None:
    await city.until_keyed(WRAPPED)
    right = protected_meter(WRAPPED.serial, 0)
    wrong = ProtectedMeter(bytes(16), right.sender_id)
    registration = WRAPPED.client().register()
    tail = registration[4 + (registration[0] & 15) :]
    assert (await ask(city.coap_port, post(1, wrong.protect(message.POST, tail)[1]))).code == BAD_REQUEST
    for key, registered in (("no-key-of-any-meter", False), (WRAPPED.psk, True)):
        _, said = await run(
            "coap-client-openssl", "-v", "6", "-m", "post", "-t", "40", "-e", "</3/0>", "-B", "20",
            "-u", f"urn:imei:{WRAPPED.imei}", "-k", key, f"coaps://127.0.0.1:{city.coaps_port}/rd?ep={WRAPPED.imei}",
        )  # fmt: skip
        assert ("2.01" in said) == registered, said
    async with ProtectedLwm2mMeter("127.0.0.1", city.coap_port, WRAPPED.client(), right) as device:
        assert (await device.ask(device.client.register())).code == CREATED
        await device.until(lambda client: APPLICATION_DATA in client.observed)
        assert (await device.ask(device.notification(APPLICATION_DATA, report(1)))).type == Type.ACK
        await city.kill_gateway()
        assert (await device.ask(device.notification(APPLICATION_DATA, report(2)))).type == Type.ACK
        assert (await device.ask(device.client.update())).code == CHANGED
        assert device.unprotected == 0
    await until(lambda: reports_at_least(city, WRAPPED, 2), "both notifications are in the database")
    query = "SELECT DISTINCT door, authentication FROM reports WHERE device = $1"
    assert [tuple(row) for row in await city.rows(query, WRAPPED.imei)] == [("lwm2m", "oscore")]


async def test_a_datagram_that_is_played_again_says_nothing_new(city: City) -> None:
    """Not to the same process, and not to one that began after it."""
    await city.until_keyed(REPLAYED)
    meter, inner = protected_meter(REPLAYED.serial, 0), tail(REPLAYED, report(1))
    number, outer = meter.protect(message.POST, inner)
    opened = meter.open(number, await ask(city.coap_port, post(1, outer)))
    assert opened.echo is not None
    datagram = post(2, meter.protect(message.POST, with_echo(inner, opened.echo))[1])
    taken = await ask(city.coap_port, datagram)
    again = await ask(city.coap_port, datagram)
    assert (taken.code, again) == (CHANGED, taken)  # a retransmission, from another address
    await until(lambda: reports_of(city, REPLAYED), "the report is in the database")
    await city.kill_gateway()

    async def refused() -> bool:
        return code_text((await ask(city.coap_port, b"".join((datagram[:2], b"\0\7", datagram[4:])))).code) == "4.01"

    await until(refused, "the new process knows the number")
    await city.until_keyed(THIEF)
    assert (await city.post(THIEF, report(3), protected=True)).code.dotted == "2.04"  # what came later is here then
    await until(lambda: reports_at_least(city, THIEF, 2), "a report of another")
    assert await reports_of(city, REPLAYED) == 1


async def reports_of(city: City, meter: Meter) -> int:
    return int(
        (await city.rows("SELECT count(*) AS n FROM reports WHERE device = $1 AND readings > 0", meter.imei))[0]["n"]
    )


async def reports_at_least(city: City, meter: Meter, count: int) -> bool:
    return await reports_of(city, meter) >= count


def tail(meter: Meter, payload: bytes) -> bytes:
    return message.request_tail(("r", meter.imei), 60, payload)


def post(message_id: int, outer: bytes) -> bytes:
    return HEAD.pack(first_byte(Type.CON), message.POST, message_id, 7) + outer


async def ask(port: int, datagram: bytes) -> Message:
    """The answer to a datagram from a port of its own, sent until there is one."""
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.setblocking(False)
        sender.connect(("127.0.0.1", port))
        for _ in range(20):
            try:
                await loop.sock_sendall(sender, datagram)
                return message.decode(await asyncio.wait_for(loop.sock_recv(sender, 2048), 3))
            except (TimeoutError, ConnectionRefusedError):
                await asyncio.sleep(0.2)
    raise AssertionError("nobody answers")
