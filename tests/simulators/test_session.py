"""A command that plays: its result, and what people are told when it cannot play."""

from __future__ import annotations

from collections.abc import Sequence

import click
import pytest

from metering.errors import SettingsError
from simulators import session
from simulators.admission import TargetError
from simulators.target import Target


async def no_meters(_: Sequence[dict[str, str]]) -> int:
    return 0


TARGET = Target("127.0.0.1", 1, "", no_meters)


async def there(host: str, port: int) -> None:
    """Somebody speaks CoAP."""
    assert (host, port) == ("127.0.0.1", 1)


async def nobody(host: str, port: int) -> None:
    raise TargetError(f"nothing answers CoAP at {host} port {port}")


async def work(failure: Exception | None = None) -> str:
    if failure is not None:
        raise failure
    return "played"


def test_the_result_of_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "reach", there)
    assert session.run(TARGET, work()) == "played"


@pytest.mark.parametrize(
    ("failure", "says"),
    [
        (SettingsError("a bad setting"), "a bad setting"),
        (ConnectionRefusedError("refused"), "the database does not answer: refused"),
        (TimeoutError(), "the database does not answer: TimeoutError"),
    ],
)
def test_failures_are_told_in_a_line(monkeypatch: pytest.MonkeyPatch, failure: Exception, says: str) -> None:
    monkeypatch.setattr(session, "reach", there)
    with pytest.raises(click.ClickException, match=says):
        session.run(TARGET, work(failure))


def test_nothing_is_played_where_nobody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "reach", nobody)
    with pytest.raises(click.ClickException, match="nothing answers CoAP"):
        session.run(TARGET, work())
