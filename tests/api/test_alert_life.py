"""The life of an alert, every pair of state and action."""

from __future__ import annotations

import pytest

from api.alert_life import CLOSED, AlertAction, AlertState, actions, check_reason, next_state
from api.reasons import MAX_REASON_CHARACTERS
from metering.errors import ConflictError, RequestError


@pytest.mark.parametrize("state", list(AlertState))
@pytest.mark.parametrize("action", list(AlertAction))
def test_what_may_be_done_is_done_and_the_rest_refused(state: AlertState, action: AlertAction) -> None:
    if action in actions(state):
        assert next_state(state, action) is not state
    else:
        with pytest.raises(ConflictError, match=f"that is {state} cannot be"):
            next_state(state, action)


def test_closed_is_closed() -> None:
    assert all(actions(state) == [] for state in CLOSED)


@pytest.mark.parametrize("reason", ["", "  ", "x" * (MAX_REASON_CHARACTERS + 1), "a\0", "\ud800"])
def test_a_dismissal_needs_a_reason_that_is_text(reason: str) -> None:
    with pytest.raises(RequestError):
        check_reason(AlertAction.DISMISS, reason)


def test_a_reason_is_trimmed() -> None:
    assert check_reason(AlertAction.DISMISS, "  因为 ") == "因为"
    assert check_reason(AlertAction.RESOLVE, "") == ""
