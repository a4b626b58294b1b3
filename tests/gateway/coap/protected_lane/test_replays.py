"""OSCORE on the CoAP port in this process: repeats, replays, and windows that outlive the process."""

from __future__ import annotations

import asyncio
from pathlib import Path

from gateway.coap import message as coap
from gateway.coap.oscore.echo import ASKED_PER_S
from gateway.coap.oscore.numbers import LEASE
from simulators import message
from tests.gateway.coap.protected import CLOSE, OTHER, OTHER_KID, REPLAY, Client, Desk, OpenDesk, own_number, plainly
from tests.gateway.conftest import OpenSender, until


async def test_a_retransmission_gets_the_same_bytes_though_a_command_came_meanwhile(
    desk: Desk, meter: Client, open_sender: OpenSender
) -> None:
    _, first = meter.datagram(b"one")
    answer = await meter.sender.ask(first)
    desk.commands.filed.append(CLOSE)
    elsewhere = await open_sender(desk.port)  # a NAT gave it another port
    assert await meter.sender.ask(first) == await elsewhere.ask(first) == answer
    _, second = meter.datagram(b"two")
    carrying = await meter.sender.ask(second)
    desk.commands.filed.clear()
    assert await meter.sender.ask(second) == await elsewhere.ask(second) == carrying
    assert own_number(carrying)
    assert [payload for *_, payload in desk.custody.taken] == [b"one", b"two"]
    assert len(desk.commands.told) == 1


async def test_a_retransmission_before_the_answer_moves_it_to_the_newest_address(
    desk: Desk, meter: Client, open_sender: OpenSender
) -> None:
    desk.custody.hold = True
    number, datagram = meter.datagram()
    meter.sender.send(datagram)
    await until(lambda: asyncio.sleep(0, desk.custody.held))
    elsewhere = await open_sender(desk.port)
    elsewhere.send(datagram)
    await until(lambda: asyncio.sleep(0, desk.protected.totals()["oscore_repeats"][1]() == 1))
    desk.custody.held[0](None)
    assert meter.context.open(number, message.decode(await elsewhere.receive())).code == message.CHANGED
    assert len(desk.custody.taken) == 1
    assert meter.sender.pending() == 0


async def test_replays_are_refused_and_change_nothing(desk: Desk, meter: Client, open_sender: OpenSender) -> None:
    desk.commands.filed.append(CLOSE)
    sent = [meter.datagram(b"%d" % n) for n in range(40)]
    for number, datagram in sent:
        assert (await meter.send(number, datagram)).code == message.CHANGED
    told, taken, spare = len(desk.commands.told), len(desk.custody.taken), desk.numbers.spare
    thief = await open_sender(desk.port)
    for _, datagram in (sent[0], sent[20], sent[39]):
        as_new = datagram[:2] + b"\xbe\xef" + datagram[4:]
        assert plainly(await thief.ask(as_new)) == REPLAY
        other_token = datagram[:4] + b"evil" + datagram[8:]
        assert plainly(await thief.ask(other_token)) == REPLAY
    assert (len(desk.commands.told), len(desk.custody.taken), desk.numbers.spare) == (told, taken, spare)
    assert desk.counters.refused["oscore_replay"] == 6


async def test_numbers_may_come_out_of_order_within_the_window(desk: Desk, meter: Client) -> None:
    sent = [meter.datagram(b"%d" % n) for n in range(34)]
    for at in (0, 33, 5, 2):
        assert (await meter.send(*sent[at])).code == message.CHANGED
    assert plainly(await meter.sender.ask(sent[1][1])) == REPLAY  # 32 behind the newest


async def test_a_context_without_a_window_has_to_prove_that_it_speaks_now(
    open_desk: OpenDesk, open_sender: OpenSender
) -> None:
    now = 1000.0
    desk = await open_desk(clock=lambda: now)
    meter = Client(await open_sender(desk.port))
    recorded = [meter.datagram(b"recorded %d" % n) for n in range(2)]
    asked = [await meter.send(*each) for each in recorded]
    assert [each.code for each in asked] == [coap.UNAUTHORIZED] * 2
    assert desk.custody.taken == []
    assert (await meter.ask(echo=b"made up")).code == coap.UNAUTHORIZED
    now += 700
    assert (await meter.ask(echo=asked[0].echo)).code == coap.UNAUTHORIZED  # too late
    await meter.greet()
    assert [payload for *_, payload in desk.custody.taken] == [b"first"]
    assert plainly(await meter.sender.ask(recorded[0][1])) == REPLAY
    assert (await meter.ask()).code == message.CHANGED
    other = Client(await open_sender(desk.port), OTHER_KID)
    echo = (await meter.ask(b"x", echo=b"y")).echo  # a known context is not asked
    assert echo is None
    assert (await other.ask(name=OTHER, echo=asked[0].echo)).code == coap.UNAUTHORIZED


async def test_windows_survive_a_kill_and_a_good_stop_but_not_a_power_loss(
    open_desk: OpenDesk, open_sender: OpenSender, tmp_path: Path
) -> None:
    desk = await open_desk(journal=tmp_path)
    meter = Client(await open_sender(desk.port))
    await meter.greet()
    old = meter.datagram(b"old")
    assert (await meter.send(*old)).code == message.CHANGED
    await desk.stop(cleanly=False)
    killed = await open_desk(journal=tmp_path, first_lease=1)
    meter.sender = await open_sender(killed.port)
    assert plainly(await meter.sender.ask(old[1])) == REPLAY
    newer = meter.datagram(b"newer")
    assert (await meter.send(*newer)).code == message.CHANGED
    await killed.stop()
    stopped = await open_desk(journal=tmp_path, first_lease=2, boot_id=b"c" * 16)  # rebooted in good order
    meter.sender = await open_sender(stopped.port)
    assert plainly(await meter.sender.ask(newer[1])) == REPLAY
    assert (await meter.ask()).code == message.CHANGED
    await stopped.stop(cleanly=False)
    failed = await open_desk(journal=tmp_path, first_lease=3, boot_id=b"d" * 16)
    meter.sender = await open_sender(failed.port)
    assert (await meter.send(*newer)).code == coap.UNAUTHORIZED  # asked by Echo, not taken
    assert failed.custody.taken == []
    await meter.greet()


async def test_a_report_that_was_not_answered_is_taken_again_after_a_kill(
    open_desk: OpenDesk, open_sender: OpenSender, tmp_path: Path
) -> None:
    desk = await open_desk(journal=tmp_path)
    meter = Client(await open_sender(desk.port))
    await meter.greet()
    desk.custody.hold = True
    unanswered = meter.datagram(b"unanswered")
    meter.sender.send(unanswered[1])
    await until(lambda: asyncio.sleep(0, desk.custody.held))
    await desk.stop(cleanly=False)
    again = await open_desk(journal=tmp_path, first_lease=1)
    meter.sender = await open_sender(again.port)
    assert (await meter.send(*unanswered)).code == message.CHANGED
    assert [payload for *_, payload in again.custody.taken] == [b"unanswered"]


async def test_a_recorded_request_played_over_and_over_takes_few_numbers(
    open_desk: OpenDesk, open_sender: OpenSender
) -> None:
    desk = await open_desk(clock=lambda: 1000.0)
    meter = Client(await open_sender(desk.port))
    _, recorded = meter.datagram(b"recorded")
    for _ in range(200):
        meter.sender.send(recorded)

    async def silenced() -> bool:
        return desk.counters.silenced == 200 - ASKED_PER_S

    await until(silenced)
    assert desk.numbers.spare == LEASE - ASKED_PER_S
