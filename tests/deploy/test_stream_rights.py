"""What each program's NATS user may not do, tried on a real server; what it must do is seen by its own tests."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js import JetStreamContext

from deploy.embedded.nats import ADMIN, USERS, NatsServer
from gateway.mqtt.turn import SUBJECT as HOLDER_SUBJECT
from metering.key_uses import KEYS_USED_SUBJECT
from metering.strangers import STRANGERS_SUBJECT
from metering.stream_connection import connect, inbox_prefix
from metering.streams import (
    COMMANDS_STREAM,
    COUNTERS,
    LWM2M_STREAM,
    LWM2M_SUBJECT,
    OSCORE_STREAM,
    OSCORE_SUBJECT,
    REGISTRY_STREAM,
    REGISTRY_SUBJECT,
    SNAPSHOT_BUCKET,
    UP_STREAM,
    up_durable,
    up_subject,
    waiting_subject,
)
from tests.gateway.conftest import until

API = "$JS.API"
OBJECTS = f"OBJ_{SNAPSHOT_BUCKET}"
DURABLE = up_durable(0)
EVERYBODY = frozenset(USERS) - {ADMIN}
REFUSAL_S = 5.0

FORBIDDEN: dict[str, frozenset[str]] = {
    up_subject(0): EVERYBODY - {"gateway"},
    REGISTRY_SUBJECT: EVERYBODY - {"ingest"},
    OSCORE_SUBJECT: EVERYBODY - {"gateway"},
    f"{API}.STREAM.PURGE.{OSCORE_STREAM}": EVERYBODY,
    STRANGERS_SUBJECT: EVERYBODY - {"gateway"},
    KEYS_USED_SUBJECT: EVERYBODY - {"gateway"},
    f"$O.{SNAPSHOT_BUCKET}.C.x": EVERYBODY - {"ingest"},
    f"{API}.STREAM.CREATE.NEW": EVERYBODY,
    f"{API}.STREAM.NAMES": EVERYBODY,
    f"{API}.INFO": EVERYBODY,
    "$SYS.REQ.SERVER.PING": EVERYBODY,
    f"{API}.STREAM.PURGE.{UP_STREAM}": EVERYBODY - {"ingest"},
    f"{API}.STREAM.PURGE.{OBJECTS}": EVERYBODY - {"ingest"},
    f"{API}.STREAM.PURGE.{REGISTRY_STREAM}": EVERYBODY,
    f"{API}.STREAM.MSG.GET.{UP_STREAM}": EVERYBODY - {"ingest"},
    f"{API}.DIRECT.GET.{UP_STREAM}": EVERYBODY - {"ingest"},
    f"{API}.CONSUMER.CREATE.{UP_STREAM}": EVERYBODY - {"ingest"},  # the name of a consumer may stand in the request
    f"{API}.CONSUMER.CREATE.{UP_STREAM}.{COUNTERS[0]}.up.0": EVERYBODY,  # and any subject for its deliveries
    f"{API}.CONSUMER.DELETE.{UP_STREAM}.{COUNTERS[0]}": EVERYBODY - {"ingest"},
    f"{API}.CONSUMER.CREATE.{REGISTRY_STREAM}": EVERYBODY,
    f"{API}.CONSUMER.CREATE.{OBJECTS}": EVERYBODY - {"ingest"},
    f"{API}.CONSUMER.CREATE.{UP_STREAM}.{DURABLE}": EVERYBODY,
    f"{API}.CONSUMER.CREATE.{UP_STREAM}.{DURABLE}.{up_subject(0)}": EVERYBODY,
    f"{API}.CONSUMER.DURABLE.CREATE.{UP_STREAM}.{DURABLE}": EVERYBODY - {"ingest"},
    f"{API}.CONSUMER.DELETE.{UP_STREAM}.{DURABLE}": EVERYBODY - {"ingest"},
    f"{API}.CONSUMER.MSG.NEXT.{UP_STREAM}.{DURABLE}": EVERYBODY - {"ingest"},
    f"{API}.CONSUMER.PAUSE.{UP_STREAM}.{DURABLE}": EVERYBODY,
    f"$JS.ACK.{UP_STREAM}.{DURABLE}.1.1.1.1.1": EVERYBODY - {"ingest"},
    f"{LWM2M_SUBJECT}.reg.x": EVERYBODY - {"gateway"},
    f"{API}.STREAM.MSG.GET.{LWM2M_STREAM}": EVERYBODY - {"gateway"},
    f"{API}.DIRECT.GET.{LWM2M_STREAM}": EVERYBODY,  # its answer is whatever a gateway wrote, sent wherever it says
    f"{API}.DIRECT.GET.{LWM2M_STREAM}.{LWM2M_SUBJECT}.reg.x": EVERYBODY,
    f"{API}.CONSUMER.CREATE.{LWM2M_STREAM}": EVERYBODY,
    f"{API}.STREAM.PURGE.{LWM2M_STREAM}": EVERYBODY,
    **{
        f"{API}.STREAM.{verb}.{stream}": EVERYBODY
        for verb in ("DELETE", "UPDATE", "MSG.DELETE", "SNAPSHOT", "RESTORE")
        for stream in (UP_STREAM, REGISTRY_STREAM, OBJECTS, OSCORE_STREAM, LWM2M_STREAM)
    },
}
"""Subject and the programs that must not publish to it."""


class Intruder:
    """A program's own connection, and what the server refused it."""

    def __init__(self) -> None:
        self.refused: asyncio.Queue[str] = asyncio.Queue()
        self.client = Client()

    async def note(self, error: Exception) -> None:
        self.refused.put_nowait(str(error).lower())

    async def refusal(self) -> str:
        return await asyncio.wait_for(self.refused.get(), REFUSAL_S)


@pytest.fixture(params=sorted(EVERYBODY))
async def intruder(request: pytest.FixtureRequest, nats_server: NatsServer, nats_url: str) -> AsyncIterator[Intruder]:
    made = Intruder()
    made.client = await connect(nats_server.url_for(request.param), request.param, error_cb=made.note)
    made.program = request.param
    yield made
    await made.client.close()


async def test_no_program_publishes_beyond_its_part(intruder: Intruder) -> None:
    for subject, programs in FORBIDDEN.items():
        if intruder.program in programs:
            await intruder.client.publish(subject, b"{}")
            assert f'publish to "{subject.lower()}"' in await intruder.refusal()
    assert intruder.refused.empty()


async def test_no_program_listens_beyond_its_inboxes(intruder: Intruder) -> None:
    others = [f"{inbox_prefix(program)}.>" for program in sorted(EVERYBODY - {intruder.program})]
    for subject in (">", f"{up_subject(0)}", REGISTRY_SUBJECT, "$JS.>", "_INBOX.>", *others):
        await intruder.client.subscribe(subject)
        assert f'subscription to "{subject.lower()}"' in await intruder.refusal()


async def test_a_counter_shows_no_report_wherever_its_answer_is_sent(
    nats_server: NatsServer, js: JetStreamContext
) -> None:
    """JetStream answers to any subject that a request names, whatever its sender may publish to."""
    await js.publish(up_subject(0), b"a report", headers={"Header": "1"})
    client = await connect(nats_server.url_for("api"), "api")
    await client.publish(
        f"{API}.CONSUMER.MSG.NEXT.{UP_STREAM}.{COUNTERS[0]}", b'{"batch": 1, "no_wait": true}', reply=REGISTRY_SUBJECT
    )
    await client.flush()

    async def arrived() -> bool:
        return (await js.stream_info(REGISTRY_STREAM)).state.messages > 0

    await until(arrived)
    assert not (await js.get_msg(REGISTRY_STREAM, 1)).data
    await client.close()


async def test_what_a_gateway_writes_itself_cannot_be_brought_into_the_registry(
    nats_server: NatsServer, js: JetStreamContext
) -> None:
    """A change of the registry names its position in a header. A gateway could write one with a fitting header to its
    own bucket and have it sent on, were the answer to its read the message itself."""
    client = await connect(nats_server.url_for("gateway"), "gateway")
    headers = {"Nats-Expected-Last-Sequence": "0"}
    await client.jetstream().publish(f"{LWM2M_SUBJECT}.reg.x", b"a change", headers=headers)
    request = json.dumps({"last_by_subj": f"{LWM2M_SUBJECT}.reg.x"}).encode()
    await client.publish(f"{API}.STREAM.MSG.GET.{LWM2M_STREAM}", request, reply=REGISTRY_SUBJECT)
    await client.flush()

    async def arrived() -> bool:
        return (await js.stream_info(REGISTRY_STREAM)).state.messages > 0

    await until(arrived)
    landed = await js.get_msg(REGISTRY_STREAM, 1)
    assert not landed.headers
    assert b"stream_msg_get_response" in (landed.data or b"")
    await client.close()


async def test_a_gateway_answers_nothing_but_logins(nats_server: NatsServer, js: JetStreamContext) -> None:
    """`allow_responses` would let it publish wherever a message it hears wants its answer, and what it says itself on a
    subject that it hears wants its answer wherever it likes: any stream, with any header."""
    noted = Intruder()
    client = await connect(nats_server.url_for("gateway"), "gateway", error_cb=noted.note)
    heard: asyncio.Queue[Msg] = asyncio.Queue()

    async def hear(message: Msg) -> None:
        heard.put_nowait(message)

    await client.subscribe(HOLDER_SUBJECT, cb=hear)
    for target in (REGISTRY_SUBJECT, waiting_subject("861000000000001"), f"{API}.STREAM.PURGE.{UP_STREAM}"):
        await client.publish(HOLDER_SUBJECT, b"", reply=target)
        message = await asyncio.wait_for(heard.get(), REFUSAL_S)
        await client.publish(message.reply, b"forged", headers={"Nats-Expected-Last-Sequence": "0"})
        assert f'publish to "{target.lower()}"' in await noted.refusal()
    for stream in (REGISTRY_STREAM, COMMANDS_STREAM):
        assert (await js.stream_info(stream)).state.messages == 0
    await client.close()
