"""Which ways there are to a platform, and which key a meter needs for each."""

import click
import pytest

from ingest.registry.key_rows import parse_key_file
from metering.credentials import CredentialKind
from simulators.coap import Sender
from simulators.doors.dtls import Dtls
from simulators.doors.lwm2m import Lwm2m
from simulators.doors.mqtt import Mqtt
from simulators.doors.open import key_row_for, ways
from simulators.doors.parameter import Doors
from simulators.doors.way import NOTHING, Outgoing, post
from simulators.exchange import Timers
from simulators.target import DOORS, Places
from simulators.town import MAX_A_DOOR, door_of

SERIAL, IMEI = "202401000003", "867062050100037"
QUICK = Timers(ack_timeout_s=0.01, max_retransmit=0)
REPORT = Outgoing(IMEI, SERIAL, 42, b"frame", 1)


async def test_only_open_doors_have_ways():
    async with Sender("127.0.0.1", 9) as sender:
        made = ways(Places("127.0.0.1", 9), DOORS, sender, QUICK, 0)
        assert list(made) == ["coap", "oscore", "lwm2m"]
        made = ways(Places("127.0.0.1", 9, 9, 9, "http://127.0.0.1:9/push/x"), DOORS, sender, QUICK, 0)
        assert [way.name for way in made.values()] == list(DOORS)
        assert sum(way.inflight for way in made.values()) == 0
        for way in made.values():
            await way.close()


@pytest.mark.parametrize("make", [
    lambda: Dtls("127.0.0.1", 9, QUICK),
    lambda: Lwm2m("127.0.0.1", 9, QUICK),
    lambda: Mqtt("127.0.0.1", 9),
])  # fmt: skip
async def test_where_nobody_listens_nothing_is_known(make):
    way = make()
    assert await post(way, REPORT) == NOTHING
    await way.close()


@pytest.mark.parametrize("door", DOORS)
def test_keys_are_rows_that_the_platform_takes(door):
    row = key_row_for(door, SERIAL, IMEI)
    if row is None:
        assert door in ("coap", "lwm2m", "push")
        return
    (taken,) = parse_key_file("\n".join((",".join(row), ",".join(row.values()))).encode())
    kind = {"oscore": CredentialKind.OSCORE, "dtls": CredentialKind.PSK, "mqtt": CredentialKind.MQTT}[door]
    assert (taken.name, taken.key.kind) == (SERIAL, kind)


def test_a_meter_has_its_door_whatever_the_size_of_the_town():
    doors = [door_of(number, DOORS) for number in range(1000)]
    assert {door: doors.count(door) for door in DOORS} == {
        "coap": 420, "oscore": 420, **dict.fromkeys(("dtls", "lwm2m", "mqtt", "push"), MAX_A_DOOR)
    }  # fmt: skip
    assert {door_of(number, ("coap",)) for number in range(100)} == {"coap"}
    assert {door_of(number, ("mqtt",)) for number in range(500)} == {"mqtt"}


def test_doors_are_named_with_commas():
    assert Doors().convert("all", None, None) == DOORS
    assert Doors().convert("mqtt,coap,mqtt", None, None) == ("mqtt", "coap")
    with pytest.raises(click.BadParameter, match="gate"):
        Doors().convert("gate", None, None)
