import pytest
from nats.js import JetStreamContext
from nats.js.api import DiscardPolicy, PersistMode
from nats.js.errors import ServiceUnavailableError

from deploy.embedded.nats import NatsServer
from metering.errors import StreamContractError
from metering.streams import UP_STREAM, StreamSizes, ensure, up_subject, verify


async def test_the_embedded_server_keeps_the_contract(js: JetStreamContext, nats_server: NatsServer) -> None:
    await verify(js, nats_server.monitor_url)


async def test_ensure_twice_changes_only_the_bound(js: JetStreamContext) -> None:
    await js.publish(up_subject(0), b"kept")
    await ensure(js, StreamSizes(2 << 20))
    info = await js.stream_info(UP_STREAM)
    assert (info.config.max_bytes, info.state.messages) == (2 << 20, 1)


async def test_a_missing_stream_names_the_remedy(js: JetStreamContext, nats_server: NatsServer) -> None:
    await js.delete_stream(UP_STREAM)
    with pytest.raises(StreamContractError, match="nbwater migrate"):
        await verify(js, nats_server.monitor_url)


async def test_a_stream_that_forgets_is_refused(js: JetStreamContext, nats_server: NatsServer) -> None:
    config = (await js.stream_info(UP_STREAM)).config
    await js.update_stream(config.evolve(discard=DiscardPolicy.OLD, max_age=3600))
    with pytest.raises(StreamContractError, match=r"discard.*max_age"):
        await verify(js, nats_server.monitor_url)


async def test_a_stream_that_answers_before_the_disk_is_refused(js: JetStreamContext, nats_server: NatsServer) -> None:
    """nats-server takes that of a stream though the server as a whole says `sync_interval: always`."""
    config = (await js.stream_info(UP_STREAM)).config
    await js.delete_stream(UP_STREAM)
    await js.add_stream(config.evolve(persist_mode=PersistMode.ASYNC))
    with pytest.raises(StreamContractError, match="persist_mode"):
        await verify(js, nats_server.monitor_url)


async def test_an_unreachable_monitor_is_refused_not_ignored(js: JetStreamContext) -> None:
    with pytest.raises(StreamContractError, match="sync_interval"):
        await verify(js, "http://127.0.0.1:1")


async def test_a_full_stream_refuses_and_keeps_what_it_acknowledged(js: JetStreamContext) -> None:
    await ensure(js, StreamSizes(1 << 20))
    acknowledged = 0
    try:
        while acknowledged < 10:
            await js.publish(up_subject(0), bytes(200_000))
            acknowledged += 1
    except ServiceUnavailableError as refusal:
        assert refusal.err_code == 10077  # noqa: PT017 - what came before the refusal is counted
    assert 0 < acknowledged < 10
    assert (await js.stream_info(UP_STREAM)).state.messages == acknowledged
