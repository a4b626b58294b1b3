import pytest

from gateway.mqtt.endpoints import Endpoint, parse
from gateway.mqtt.turn import ASK, ASK_S, SILENCE_S, Turn
from metering.errors import SettingsError


def test_whoever_hears_nobody_takes_the_session() -> None:
    turn = Turn(b"me", 0, now=100)
    assert not turn.is_mine(100)
    turn.heard(ASK, 100)
    turn.heard(b"me", 100)
    assert turn.is_mine(100 + ASK_S)
    assert not turn.other_holds(100)


def test_whoever_hears_another_stands_by_until_it_is_silent() -> None:
    turn = Turn(b"me", 1, now=100)
    turn.heard(b"other", 100.1)
    assert turn.other_holds(101)
    assert not turn.is_mine(103)
    assert turn.is_mine(100.5 + SILENCE_S)
    assert not turn.other_holds(100.5 + SILENCE_S)


def test_addresses() -> None:
    assert parse("mqtt://u:p%40@h:1,mqtts://[::1]") == [
        Endpoint("h", 1, False, "u", "p@"),
        Endpoint("::1", 8883, True, "", ""),
    ]
    assert "p@" not in repr(parse("mqtt://u:p%40@h:1"))
    for wrong in ("", "http://h", "mqtt://", "mqtt://u:secret@h:port", "h:1883"):
        with pytest.raises(SettingsError) as refused:
            parse(wrong)
        assert "secret" not in str(refused.value)
