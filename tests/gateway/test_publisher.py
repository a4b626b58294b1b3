from __future__ import annotations

import asyncio

import nats.errors
import pytest
from nats.js.errors import APIError, NoStreamResponseError, ServiceUnavailableError

from gateway.link import StreamLink
from gateway.publisher import Publisher, message_id
from metering.envelope import Report, decode, mint_report_id
from metering.errors import CustodyUnknownError, StreamFullError
from metering.model import Authentication, Door

REPORT = Report(mint_report_id(1), 1, Door.COAP, Authentication.CLAIMED, "dev", 60, b"x", "127.0.0.1:1")


class Stream:
    """Fails each publish with the next of `failures`, then takes."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)
        self.published: list[tuple[str, bytes, dict[str, str]]] = []

    async def publish(self, subject: str, body: bytes, headers: dict[str, str], **_: object) -> None:
        self.published.append((subject, body, headers))
        if self.failures:
            raise self.failures.pop(0)


def link(stream: Stream, connected: bool = True) -> StreamLink:
    made = StreamLink()
    made._js = stream
    if connected:
        made.connected.set()
    return made


async def test_a_batch_goes_to_its_partition_with_an_identity_and_a_count() -> None:
    stream = Stream()
    await Publisher(link(stream), 1.0).publish(3, [REPORT, REPORT], {"coap": 4})
    ((subject, body, headers),) = stream.published
    assert (subject, headers) == ("up.3", {"Nats-Msg-Id": message_id([REPORT, REPORT]), "Nbwater-Reports": "2"})
    assert decode(body).repeats == {"coap": 4}


def test_a_report_in_another_batch_is_no_repeat_of_the_first() -> None:
    """Of a batch without PubAck, whose reports then come out of a spool in larger batches, nothing may be lost."""
    assert message_id([REPORT]) == message_id([REPORT])
    assert message_id([REPORT]) != message_id([REPORT, REPORT])


@pytest.mark.parametrize(
    "failure", [nats.errors.TimeoutError(), nats.errors.ConnectionClosedError(), NoStreamResponseError(), OSError()]
)
async def test_a_lost_acknowledgement_is_asked_for_again_under_the_same_identity(failure: Exception) -> None:
    stream = Stream(failure)
    await Publisher(link(stream), 5.0).publish(0, [REPORT], {})
    assert len(stream.published) == 2
    assert stream.published[0] == stream.published[1]


@pytest.mark.parametrize(
    ("failure", "expected"),
    [
        (ServiceUnavailableError(code=503, err_code=10077, description="maximum bytes exceeded"), StreamFullError),
        (APIError(code=400, err_code=10077, description="maximum bytes exceeded"), StreamFullError),
        (APIError(code=400, err_code=10060, description="expected stream does not match"), CustodyUnknownError),
    ],
)
async def test_a_refusal_is_final(failure: Exception, expected: type[Exception]) -> None:
    stream = Stream(failure)
    with pytest.raises(expected):
        await Publisher(link(stream), 5.0).publish(0, [REPORT], {})
    assert len(stream.published) == 1


async def test_the_deadline_holds_while_the_server_is_away() -> None:
    stream = Stream()
    with pytest.raises(CustodyUnknownError):
        await asyncio.wait_for(Publisher(link(stream, connected=False), 0.1).publish(0, [REPORT], {}), 5)
    assert stream.published == []
