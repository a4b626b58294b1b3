"""What the administrator sees of a real stream."""

import nats.errors
import pytest

from metering.streams import up_subject
from simulators.chaos.stream import administrator, last_sequences, partition_of


async def test_each_partition_has_its_last_message(nats_url, js):
    for partition in (0, 2, 0, 2, 2):
        last = await js.publish(up_subject(partition), b"x")
    assert await last_sequences(nats_url) == {0: 3, 2: last.seq}


async def test_an_empty_stream_has_none(nats_url):
    assert await last_sequences(nats_url) == {}


async def test_a_server_that_is_not_there_is_said_soon():
    with pytest.raises((OSError, TimeoutError, nats.errors.Error)):
        async with administrator("nats://admin:wrong@127.0.0.1:1"):
            pass


def test_the_subject_names_the_partition():
    assert partition_of(up_subject(7)) == 7
