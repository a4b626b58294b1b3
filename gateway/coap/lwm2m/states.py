"""The life of a registration: an enum and a transition table (LwM2M core 1.2 sections 6.2 and 6.5). Pure."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType


class State(StrEnum):
    ABSENT = "absent"
    """Never registered, deregistered or expired: its updates get 4.04, so that it registers anew."""
    AWAKE = "awake"
    """Heard within its awake window: requests go out, one at a time."""
    ASLEEP = "asleep"
    """Registered and not listening: requests wait."""


class Event(StrEnum):
    REGISTER = "register"
    HEARD = "heard"
    """An update, a Send, a notification or an answer, authenticated."""
    WINDOW_OVER = "window_over"
    SILENT = "silent"
    """A request got no answer after its last retransmission."""
    DEREGISTER = "deregister"
    LIFETIME_OVER = "lifetime_over"


_S, _E = State, Event
TRANSITIONS: Mapping[tuple[State, Event], State] = MappingProxyType(
    {
        (_S.ABSENT, _E.REGISTER): _S.AWAKE,
        (_S.AWAKE, _E.REGISTER): _S.AWAKE,
        (_S.ASLEEP, _E.REGISTER): _S.AWAKE,
        (_S.AWAKE, _E.HEARD): _S.AWAKE,
        (_S.ASLEEP, _E.HEARD): _S.AWAKE,
        (_S.AWAKE, _E.WINDOW_OVER): _S.ASLEEP,
        (_S.AWAKE, _E.SILENT): _S.ASLEEP,
        (_S.AWAKE, _E.DEREGISTER): _S.ABSENT,
        (_S.ASLEEP, _E.DEREGISTER): _S.ABSENT,
        (_S.AWAKE, _E.LIFETIME_OVER): _S.ABSENT,
        (_S.ASLEEP, _E.LIFETIME_OVER): _S.ABSENT,
    }
)


def after(state: State, event: Event) -> State:
    """The next state; an event that changes nothing in this one leaves it."""
    return TRANSITIONS.get((state, event), state)


class Window:
    """When a client listens. `now` is a monotonic clock in seconds. `window_s`: None for a client without queue mode,
    which listens for as long as it is registered and answers. `heard_at`: when it was heard last."""

    __slots__ = ("_until", "heard_at", "state", "window_s")

    def __init__(self, window_s: float | None) -> None:
        self.window_s, self.state, self._until = window_s, State.ABSENT, float("-inf")
        self.heard_at = float("-inf")

    def tell(self, event: Event, now: float) -> None:
        self.state = after(self.state, event)
        if event in (Event.REGISTER, Event.HEARD):
            self.heard_at = now
            self._until = float("inf") if self.window_s is None else now + self.window_s

    def listens(self, now: float) -> bool:
        """Whether a request may be sent now."""
        if self.state is State.AWAKE and now >= self._until:
            self.state = after(self.state, Event.WINDOW_OVER)
        return self.state is State.AWAKE

    @property
    def until(self) -> float:
        return self._until
