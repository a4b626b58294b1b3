"""What a billing period may be called and span."""

from __future__ import annotations

from datetime import date

import pytest

from api.billing_rules import FIRST_DAY, LAST_DAY, check_days, check_role, checked_name
from api.roles import ForbiddenError, Principal, Role
from metering.errors import RequestError


@pytest.mark.parametrize("name", ["2026-03", "2026年3月", "Q1 · north", "a.b"])
def test_names_that_people_give(name: str) -> None:
    assert checked_name(f" {name}\n") == name


@pytest.mark.parametrize("name", ["", " ", "a/b", "../..", ".", "..", "a\nb", "\u202e", "A" * 65, "a\0"])
def test_names_that_no_address_could_hold(name: str) -> None:
    with pytest.raises(RequestError):
        checked_name(name)


def test_days_within_which_there_are_readings() -> None:
    check_days(FIRST_DAY, FIRST_DAY)
    check_days(LAST_DAY, LAST_DAY)


@pytest.mark.parametrize(
    ("first", "last"),
    [
        (date.min, date(1, 1, 31)), (date(9999, 12, 1), date.max), (date(2026, 3, 2), date(2026, 3, 1)),
        (date(2026, 1, 1), date(2027, 2, 5)), (date(2099, 12, 31), date(2100, 1, 1)),
    ],
)  # fmt: skip
def test_days_that_cannot_be_billed(first: date, last: date) -> None:
    with pytest.raises(RequestError):
        check_days(first, last)


def test_operators_do_not_bill() -> None:
    with pytest.raises(ForbiddenError):
        check_role(Principal("kim", Role.OPERATOR, "token"))
    check_role(Principal("kim", Role.ENGINEER, "token"))
