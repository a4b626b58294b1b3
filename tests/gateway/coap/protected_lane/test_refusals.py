"""OSCORE on the CoAP port in this process: who and what is refused, where that is said, and how often."""

from __future__ import annotations

import asyncio

from gateway.coap import message as coap
from gateway.coap.peers import SecurePeer
from metering.credentials import CredentialKind, MasterKeys, OscoreSecret
from metering.model import Authentication
from metering.registry import ENABLED, HAS_KEY, RegistryEntry
from simulators import message
from simulators.oscore import OSCORE
from tests.gateway.coap.protected import (
    DEVICE,
    KID,
    LOOPBACK,
    OTHER,
    OTHER_KID,
    Client,
    Desk,
    OpenDesk,
    credential,
    own_number,
    plainly,
)
from tests.gateway.conftest import OpenSender, until


async def test_refusals_in_the_words_of_the_rfc(desk: Desk, meter: Client, open_sender: OpenSender) -> None:
    stranger = Client(await open_sender(desk.port), b"\x77")
    wrong_key = Client(await open_sender(desk.port), KID, bytes(16))
    assert plainly(await stranger.sender.ask(stranger.datagram()[1])) == (0x81, b"Security context not found")
    assert plainly(await wrong_key.sender.ask(wrong_key.datagram()[1])) == (0x80, b"Decryption failed")
    _, datagram = meter.datagram()
    cut = datagram[:-1]
    assert plainly(await meter.sender.ask(cut)) == (0x80, b"Decryption failed")
    bad_option = datagram[:8] + b"\x92\xe9\x00" + datagram[datagram.index(b"\xff", 8) :]
    assert plainly(await meter.sender.ask(bad_option)) == (0x82, b"Failed to decode COSE")
    assert desk.custody.taken == []
    assert (await meter.ask()).code == message.CHANGED  # nothing of that harmed the meter


async def test_a_meter_speaks_for_itself_only(desk: Desk, meter: Client, open_sender: OpenSender) -> None:
    assert (await meter.ask(name=OTHER)).code == coap.UNAUTHORIZED
    assert (await meter.ask(name="nobody")).code == coap.NOT_FOUND
    other = Client(await open_sender(desk.port), OTHER_KID)
    assert (await other.ask(name=DEVICE)).code == coap.UNAUTHORIZED
    assert desk.custody.taken == []


async def test_a_plain_report_of_a_meter_with_a_key_is_refused(desk: Desk, meter: Client) -> None:
    tail = message.request_tail(("r", DEVICE), 42, b"plain")
    assert plainly(await meter.sender.ask(message.HEAD.pack(0x44, 2, 1, 1) + tail)) == (coap.UNAUTHORIZED, b"")
    assert desk.custody.taken == []


async def test_what_is_wrong_inside_is_refused_inside_and_said_again(desk: Desk, meter: Client) -> None:
    assert (await meter.ask(content_format=0)).code == coap.UNSUPPORTED_CONTENT_FORMAT
    assert (await meter.ask(bytes(300))).code == coap.REQUEST_ENTITY_TOO_LARGE
    assert (await meter.ask(code=1)).code == coap.METHOD_NOT_ALLOWED
    assert (await meter.ask(code=0)).code == coap.BAD_REQUEST
    assert (await meter.send(*meter.wrapped(message.request_tail(("x",))))).code == coap.NOT_FOUND
    assert (await meter.send(*meter.wrapped(b"\xdd"))).code == coap.BAD_REQUEST
    _, datagram = meter.datagram(content_format=0)
    first = await meter.sender.ask(datagram)
    assert own_number(first)
    assert await meter.sender.ask(datagram) == first
    assert desk.custody.taken == []


async def test_a_replaced_or_revoked_key_is_gone_with_the_registry_entry(desk: Desk, meter: Client) -> None:
    assert (await meter.ask()).code == message.CHANGED
    fresh = bytes(range(16, 32))
    desk.devices.apply(RegistryEntry(DEVICE, (DEVICE,), LOOPBACK, ENABLED | HAS_KEY, (credential(KID, fresh),)))
    assert plainly(await meter.sender.ask(meter.datagram()[1])) == (0x80, b"Decryption failed")
    anew = Client(meter.sender, KID, fresh)
    assert (await anew.ask()).code == message.CHANGED  # number 0 once more, under another key
    desk.devices.apply(RegistryEntry(DEVICE, (DEVICE,), LOOPBACK, ENABLED | HAS_KEY, ()))
    assert plainly(await anew.sender.ask(anew.datagram()[1])) == (0x81, b"Security context not found")
    foreign = MasterKeys({0: bytes(32)}).seal(CredentialKind.OSCORE, KID, OscoreSecret(fresh).encode())
    desk.devices.apply(RegistryEntry(DEVICE, (DEVICE,), LOOPBACK, ENABLED | HAS_KEY, (foreign,)))
    assert plainly(await anew.sender.ask(anew.datagram()[1])) == (0x81, b"Security context not found")
    assert desk.protected.gauges()["oscore_unopened_keys"][1]() == 1


async def test_unprotected_refusals_are_limited(desk: Desk, open_sender: OpenSender) -> None:
    stranger = Client(await open_sender(desk.port), b"\x77")
    desk.limiter._per_second, desk.limiter._burst = 0.001, 3.0
    for _ in range(20):
        stranger.sender.send(stranger.datagram()[1])
    await until(lambda: asyncio.sleep(0, desk.counters.refused["oscore_context"] == 20))
    assert desk.counters.silenced == 17


def test_an_endpoint_without_a_master_key_does_not_know_the_option() -> None:
    assert coap.read_request([(OSCORE, b"\x09\x00\x0a")]).bad_option == OSCORE


async def test_no_context_is_served_by_a_process_that_does_not_own_it(
    open_desk: OpenDesk, open_sender: OpenSender
) -> None:
    """A secure session is one process's, also when what comes through it belongs to another, which has the window."""
    desk = await open_desk(ask_by_echo=False)

    class Elsewhere:
        worker = 0

        def owner_of(self, kid: bytes) -> int:
            return 1

    desk.protected._siblings = Elsewhere()  # type: ignore[assignment]
    meter = Client(await open_sender(desk.port))
    _, datagram = meter.datagram(b"recorded")
    said: list[bytes] = []
    peer = SecurePeer(
        "127.0.0.1", 40_000, ("127.0.0.1", 40_000), OTHER, "identity", Authentication.DTLS, lambda d, _: said.append(d)
    )
    desk.fast.receive(datagram, peer)
    await asyncio.sleep(0)
    assert desk.custody.taken == []
    assert [message.decode(answer).code for answer in said] == [coap.UNAUTHORIZED]
