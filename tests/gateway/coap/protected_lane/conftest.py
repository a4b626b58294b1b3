"""An OSCORE port in this process, and a meter that speaks to it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.gateway.coap.protected import Client, Desk, OpenDesk
from tests.gateway.conftest import OpenSender


@pytest.fixture
async def open_desk() -> AsyncIterator[OpenDesk]:
    opened: list[Desk] = []

    async def make(**options: Any) -> Desk:
        desk = Desk(**options)
        await desk.start()
        opened.append(desk)
        return desk

    yield make
    for desk in opened:
        if desk.socket.fileno() >= 0:
            await desk.stop()


@pytest.fixture
async def desk(open_desk: OpenDesk) -> Desk:
    """Whoever speaks first is believed."""
    return await open_desk(ask_by_echo=False)


@pytest.fixture
async def meter(desk: Desk, open_sender: OpenSender) -> Client:
    return Client(await open_sender(desk.port))
