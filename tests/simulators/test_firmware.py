"""A meter that fetches an image block by block."""

from __future__ import annotations

from simulators import message
from simulators.exchange import Answer, Fate
from simulators.firmware import BLOCK2, BLOCK_BYTES, TRIES_A_BLOCK, fetch, path_of

URI = "coaps://gw:5684/fw/0123456789abcdef"
IMAGE = bytes(range(256)) * 5


class Server:
    def __init__(self, *fates: Fate) -> None:
        self.fates, self.asked = list(fates), list[int]()

    async def ask(self, tail: bytes) -> Answer:
        said = message.decode(b"\x40\x01\0\0" + tail)
        assert [value for name, value in said.options if name == message.URI_PATH] == [b"fw", b"0123456789abcdef"]
        block = said.uint_option(BLOCK2) or 0
        self.asked.append(block >> 4)
        fate = self.fates.pop(0) if self.fates else Fate.ANSWERED
        start = (block >> 4) * BLOCK_BYTES
        return Answer(fate, 0x45, IMAGE[start : start + BLOCK_BYTES] if fate is Fate.ANSWERED else b"")


async def test_a_block_that_is_lost_is_asked_for_again() -> None:
    server = Server(Fate.ANSWERED, Fate.UNKNOWN)
    assert await fetch(server.ask, URI, len(IMAGE)) == (IMAGE, True)
    assert server.asked == [0, 1, 1, 2]


async def test_it_goes_on_where_it_was() -> None:
    server = Server(*[Fate.ANSWERED, *[Fate.UNKNOWN] * TRIES_A_BLOCK])
    begun, whole = await fetch(server.ask, URI, len(IMAGE))
    assert (begun, whole) == (IMAGE[:BLOCK_BYTES], False)
    assert await fetch(server.ask, URI, len(IMAGE), begun) == (IMAGE, True)
    assert server.asked[-2:] == [1, 2]


async def test_a_refusal_or_another_size_ends_it() -> None:
    assert await fetch(Server(Fate.REFUSED).ask, URI, len(IMAGE)) == (b"", False)
    assert (await fetch(Server().ask, URI, len(IMAGE) + 1))[1] is False
    assert path_of(URI) == ["fw", "0123456789abcdef"]
