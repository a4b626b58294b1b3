"""Who is given keys, and in which bytes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import cbor2
import pytest

from gateway.coap.lwm2m import bootstrap, formats
from gateway.coap.lwm2m.bootstrap import Account
from gateway.coap.lwm2m.bootstrapping import formats_for
from gateway.coap.lwm2m.registration import registration_id
from simulators import message
from simulators.lwm2m_client import BC66, Client
from simulators.message import Message, Type
from tests.gateway.coap.lwm2m.conftest import DEVICE, KEYED, PSK, SECRET, OpenDesk, OpenMeter

TOMORROW = (datetime.now(UTC) + timedelta(days=1)).isoformat()
LOOPBACK = ["127.0.0.0/8"]
URI = "coaps://meters.example:5684"


class Newcomer(Client):
    """Takes what a bootstrap server writes."""

    refuses: frozenset[int] = frozenset()
    lacks: str = "none"
    """A path that it does not have."""

    def knock(self) -> bytes:
        options = [(message.URI_PATH, b"bs"), (15, f"ep={self.endpoint}".encode())]
        self.next_id += 1
        return b"\x41\x02" + self.next_id.to_bytes(2, "big") + b"\x09" + message.encode_options(options)

    def _answer(self, said: Message) -> bytes:
        path = "/" + "/".join(value.decode() for name, value in said.options if name == message.URI_PATH)
        content_format = said.uint_option(message.CONTENT_FORMAT)
        code = {4: 0x42, 3: 0x44, 2: 0x44}[said.code]
        if content_format in self.refuses:
            code = 0x8F
        if path == self.lacks:
            code = 0x84
        self.asked.append(f"{said.code} {path} {content_format}")
        if code < 0x80:
            self.values[path] = content_format or 0, said.payload
        return bytes((0x40 | Type.ACK << 4 | len(said.token), code)) + said.message_id.to_bytes(2, "big") + said.token


def newcomer(endpoint: str = KEYED) -> Newcomer:
    return Newcomer(f"urn:imei:{endpoint}", BC66, {})


async def test_it_is_closed_until_opened(open_desk: OpenDesk, open_meter: OpenMeter) -> None:
    for desk in (
        await open_desk(vouched=True),
        await open_desk(bootstrap=True),
        await open_desk(bootstrap=True, enrol_networks=LOOPBACK),
        await open_desk(bootstrap=True, enrol_networks=["10.0.0.0/8"], enrol_until=TOMORROW),
        await open_desk(enrol_networks=LOOPBACK, enrol_until=TOMORROW),
    ):
        meter = await open_meter(desk.port, newcomer())
        assert (await meter.ask(meter.client.knock())).code == 0x83


async def test_a_client_that_a_door_vouches_for_is_given_its_own_keys(
    open_desk: OpenDesk, open_meter: OpenMeter
) -> None:
    desk = await open_desk(vouched=True, bootstrap=True, bootstrap_uri=URI)
    other = await open_meter(desk.port, newcomer(DEVICE))
    assert (await other.ask(other.client.knock())).code == 0x83
    meter = await open_meter(desk.port, newcomer())
    assert (await meter.ask(meter.client.knock())).code == 0x44
    await meter.until(lambda c: "/bs" in c.values)
    assert meter.client.asked == [
        "4 / None", "3 /0/0 11542", "3 /21/0 11542", "3 /1/0 11542", "2 /bs None",
    ]  # fmt: skip
    security = meter.client.values["/0/0"][1]
    assert b"\xc8\x00\x1b" + URI.encode() in security
    assert b"\xc8\x05\x10" + PSK in security  # resource 5, 16 bytes
    assert b"\xc2\x03id" in security
    assert b"\xc4\x11\x00\x15\x00\x00" in security  # resource 17 links to /21/0
    assert b"\xc8\x00\x10" + SECRET.master_secret in meter.client.values["/21/0"][1]
    # It is no client yet, and is one when it registers.
    meter.client.location = ("rd", registration_id(KEYED).hex())
    assert (await meter.ask(meter.client.update())).code == 0x84
    assert (await meter.ask(meter.client.register())).code == 0x41


async def test_a_client_that_knows_no_tlv_gets_senml_cbor(open_desk: OpenDesk, open_meter: OpenMeter) -> None:
    desk = await open_desk(vouched=True, bootstrap=True, bootstrap_uri=URI)
    client = newcomer()
    client.refuses = frozenset({formats.TLV})
    meter = await open_meter(desk.port, client)
    await meter.ask(client.knock())
    await meter.until(lambda c: "/bs" in c.values)
    records = cbor2.loads(client.values["/0/0"][1])
    assert records[0] == {-2: "/0/0/", 0: "0", 3: URI}
    assert {0: "5", 8: PSK} in records
    assert {0: "17", "vlo": "21:0"} in records


async def test_a_client_without_the_oscore_object_is_given_its_other_key(
    open_desk: OpenDesk, open_meter: OpenMeter
) -> None:
    """As Anjay 3.14 was seen to answer: 2.04 for the Security object, 4.04 for /21/0."""
    desk = await open_desk(vouched=True, bootstrap=True, bootstrap_uri=URI)
    client = newcomer()
    client.lacks = "/21/0"
    meter = await open_meter(desk.port, client)
    await meter.ask(client.knock())
    await meter.until(lambda c: "/bs" in c.values)
    assert [each.split()[1] for each in client.asked] == ["/", "/0/0", "/21/0", "/", "/0/0", "/1/0", "/bs"]
    security = client.values["/0/0"][1]
    assert b"\xc8\x05\x10" + PSK in security
    assert b"\xc4\x11\x00\x15\x00\x00" not in security  # no link to an object that is not there


async def test_enrolment_in_plain_works_once_and_only_in_its_window(open_desk: OpenDesk, open_meter: OpenMeter) -> None:
    desk = await open_desk(bootstrap=True, bootstrap_uri=URI, enrol_networks=LOOPBACK, enrol_until=TOMORROW)
    meter = await open_meter(desk.port, newcomer())
    assert (await meter.ask(meter.client.knock())).code == 0x44
    await meter.until(lambda c: "/bs" in c.values)
    again = await open_meter(desk.port, newcomer())
    assert (await again.ask(again.client.knock())).code == 0x83
    assert desk.counters.refused["enrolled_before"] == 1
    stranger = await open_meter(desk.port, newcomer("861234567899999"))
    assert (await stranger.ask(stranger.client.knock())).code == 0x83
    desk.wall_s = 2 * 86_400
    late = await open_meter(desk.port, newcomer(DEVICE))
    assert (await late.ask(late.client.knock())).code == 0x83


def test_a_client_says_which_format_it_prefers() -> None:
    assert formats_for([b"ep=x", b"pct=11544"]) == (11544, 11542, 112)
    assert formats_for([b"pct=60"]) == formats_for([]) == (11542, 112, 11544)


@pytest.mark.parametrize("content_format", [11542, 112, 11544])
def test_without_keys_the_account_is_a_plain_one(content_format: int) -> None:
    delete, security, server, finish = bootstrap.requests(Account("coap://x", 60), content_format)
    assert (delete.path, security.path, server.path, finish.path) == ("/", "/0/0", "/1/0", "/bs")
    if content_format == 11544:
        assert cbor2.loads(server.payload) == {1: {0: {0: 101, 1: 60, 6: False, 7: "U"}}}
