"""When a report is acknowledged, kept or refused, without a broker."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from gateway.custody import Settle
from gateway.devices import Devices
from gateway.intake import Intake
from gateway.mqtt.handing_over import HandingOver
from gateway.mqtt.reports import Reports, TooManyError
from gateway.mqtt.topics import PROBE, down, up
from metering.commands import CommandKind, WaitingCommand
from metering.errors import CustodyBusyError, StreamFullError
from metering.model import Authentication, Door
from tests.gateway.mqtt.conftest import entry

METER, MAX = "meter", 4
COMMAND = WaitingCommand(bytes(8), CommandKind.REPORT_NOW, {}, 2_000_000_000)


@dataclass
class Link:
    acknowledged: list[int] = field(default_factory=list)
    published: list[tuple[str, bytes]] = field(default_factory=list)

    def acknowledge(self, message_id: int) -> None:
        self.acknowledged.append(message_id)

    def publish(self, topic: str, payload: bytes) -> int | None:
        self.published.append((topic, payload))
        return len(self.published)


class Custody:
    """Settles when the test says so."""

    def __init__(self) -> None:
        self.taken: list[tuple[str, bytes, Settle]] = []
        self.is_busy = False

    def take(
        self, door: Door, auth: Authentication, device: str, form: int, payload: bytes, source: str, settle: Settle
    ) -> None:
        assert (door, auth) == (Door.MQTT, Authentication.MQTT)
        if self.is_busy:
            raise CustodyBusyError
        self.taken.append((device, payload, settle))


class Waiting:
    """Commands that wait, and what was told of them."""

    def __init__(self, *commands: WaitingCommand) -> None:
        self.commands, self.over = commands, list[str]()

    def waiting(self, device: str, authentication: Authentication) -> Sequence[WaitingCommand]:
        return self.commands

    def handed_over(self, device: str, command: WaitingCommand, door: Door) -> None:
        self.over.append(device)

    def ended(self, *_: object) -> None: ...

    def on_new(self, _: object) -> None: ...


class Bench:
    def __init__(self, is_keyed: bool = True) -> None:
        self.devices, self.custody, self.link = Devices(), Custody(), Link()
        self.devices.apply(entry(METER))
        self.devices.apply(entry("keyless", None))
        self.devices.ready = self.devices.complete = True
        self.taken, self.strangers = list[str](), list[tuple[str, str]]()
        self.reports = Reports(
            Intake(self.devices, self.custody), self.devices, MAX, 100, is_keyed,
            lambda device, _: self.taken.append(device),
            lambda device, reason: self.strangers.append((device, reason)),
        )  # fmt: skip

    def receive(self, message_id: int, topic: str = up(METER), payload: bytes = b"x", retained: bool = False) -> None:
        self.reports.received(self.link, message_id, topic, payload, retained)


def test_acknowledged_after_custody_and_not_before() -> None:
    bench = Bench()
    bench.receive(7)
    assert not bench.link.acknowledged
    bench.custody.taken[0][2](None)
    assert bench.link.acknowledged == [7]
    assert bench.taken == [METER]
    assert not len(bench.reports)


def test_what_is_not_taken_is_withheld_and_tried_again() -> None:
    bench = Bench()
    bench.receive(7)
    bench.custody.taken[0][2](StreamFullError())
    bench.receive(7)  # sent again by the broker while it waits
    bench.custody.is_busy = True
    bench.reports.try_again()
    bench.custody.is_busy = False
    bench.reports.try_again()
    assert len(bench.custody.taken) == 2
    assert not bench.link.acknowledged
    bench.custody.taken[1][2](None)
    assert bench.link.acknowledged == [7]


def test_while_the_registry_is_not_there_reports_wait() -> None:
    bench = Bench()
    bench.devices.ready = False
    bench.receive(1)
    bench.receive(2, up("keyless"))
    assert (bench.link.acknowledged, bench.strangers) == ([], [])
    bench.devices.ready = True
    bench.reports.try_again()
    assert [device for device, _, _ in bench.custody.taken] == [METER]
    assert bench.strangers == [("keyless", "no_mqtt_key")]


@pytest.mark.parametrize(
    ("topic", "payload", "reason"),
    [
        (up("unknown"), b"x", "no_mqtt_key"),
        (up("keyless"), b"x", "no_mqtt_key"),
        (down(METER), b"x", "topic"),
        ("", b"x", "topic"),
        (up(METER), b"", "empty"),
        (up(METER), bytes(101), "too_large"),
    ],
)
def test_refused_for_good_is_acknowledged_and_told(topic: str, payload: bytes, reason: str) -> None:
    bench = Bench()
    bench.receive(3, topic, payload)
    assert bench.link.acknowledged == [3]
    assert bench.strangers[0][1] == reason
    assert not bench.custody.taken


def test_at_an_external_broker_keys_are_the_brokers() -> None:
    bench = Bench(is_keyed=False)
    bench.receive(1, up("keyless"))
    bench.receive(2, up("unknown"))
    assert [device for device, _, _ in bench.custody.taken] == ["keyless"]
    assert bench.strangers == [("unknown", "unknown_device")]


def test_the_probe_and_what_is_retained_are_no_reports() -> None:
    bench = Bench()
    bench.receive(1, up(PROBE))
    bench.receive(2, retained=True)
    assert bench.link.acknowledged == [1, 2]
    assert not bench.custody.taken


def test_no_more_than_the_bound_wait() -> None:
    bench = Bench()
    for n in range(MAX):
        bench.receive(n + 1)
    with pytest.raises(TooManyError):
        bench.receive(MAX + 1)


def test_a_new_connection_forgets_what_the_old_one_owed() -> None:
    bench = Bench()
    bench.receive(1)
    bench.reports.begin()
    bench.receive(1, payload=b"y")
    bench.custody.taken[0][2](None)
    assert not bench.link.acknowledged
    bench.custody.taken[1][2](None)
    assert bench.link.acknowledged == [1]


def test_qos_0_is_taken_and_nobody_is_told() -> None:
    bench = Bench()
    bench.receive(0)
    bench.receive(0, payload=b"y")
    bench.custody.taken[0][2](None)
    bench.custody.taken[1][2](StreamFullError())
    assert not bench.link.acknowledged
    assert bench.reports.totals.lost_qos0 == 1


def test_a_command_is_handed_over_when_the_broker_has_it() -> None:
    commands, link = Waiting(COMMAND), Link()
    handing_over = HandingOver(commands, there_s=60)
    handing_over.heard(METER, b"x", link, 0)
    assert link.published == [(down(METER), COMMAND.answer())]
    assert not commands.over
    handing_over.published(1, True)
    assert commands.over == [METER]


def test_a_command_that_nobody_hears_still_waits() -> None:
    commands, link = Waiting(COMMAND), Link()
    handing_over = HandingOver(commands, there_s=60)
    handing_over.heard(METER, b"x", link, 0)
    handing_over.published(1, False)
    handing_over.published(99, True)
    assert not commands.over


def test_a_new_command_goes_at_once_to_a_meter_that_is_there() -> None:
    commands, link = Waiting(), Link()
    handing_over = HandingOver(commands, there_s=60)
    handing_over.heard(METER, b"x", link, 0)
    commands.commands = (COMMAND,)
    handing_over.new_command("asleep", link, 1)
    handing_over.new_command(METER, link, 61)
    handing_over.new_command(METER, None, 1)
    assert not link.published
    handing_over.new_command(METER, link, 1)
    assert len(link.published) == 1


@pytest.mark.parametrize("says", [COMMAND.command_id, COMMAND.command_id.hex().encode()])
def test_a_command_that_the_report_names_is_not_published_again(says: bytes) -> None:
    """Nor after it, as long as ingest has not said that it ended; what else waits goes."""
    second = COMMAND._replace(command_id=b"command2")
    commands, link = Waiting(COMMAND), Link()
    handing_over = HandingOver(commands, there_s=60)
    handing_over.heard(METER, b"done: " + says, link, 0)
    handing_over.heard(METER, b"another report", link, 1)
    assert not link.published
    commands.commands = (COMMAND, second)
    handing_over.new_command(METER, link, 2)
    assert link.published == [(down(METER), second.answer())]
