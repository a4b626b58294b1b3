from __future__ import annotations

import pytest

from metering.model import WEAK, Authentication
from metering.pushers import PUSHED, STAMPS, Standing, Unbound, product_of, standing, voucher

REFUSE, FIRST, ACCEPT = (STAMPS[unbound] for unbound in (Unbound.REFUSE, Unbound.BIND_FIRST, Unbound.ACCEPT))


@pytest.mark.parametrize("stamp", sorted(PUSHED))
@pytest.mark.parametrize("closed", [False, True])
def test_the_binding_decides_where_there_is_one(stamp: Authentication, closed: bool) -> None:
    assert standing("east", stamp, ("west", "east"), closed=closed) is Standing.BOUND
    assert standing("east", stamp, ("west",), closed=closed) is Standing.FOREIGN


def test_without_one_the_product_asks_and_a_key_decides() -> None:
    assert [standing("east", stamp, (), closed=False) for stamp in (REFUSE, FIRST, ACCEPT)] == [
        Standing.FOREIGN, Standing.UNBOUND, Standing.UNBOUND,
    ]  # fmt: skip
    assert {standing("east", stamp, (), closed=True) for stamp in PUSHED} == {Standing.FOREIGN}


def test_who_answers_for_a_report() -> None:
    assert product_of("east 10.0.0.1") == "east"
    assert voucher(REFUSE, "east 10.0.0.1") == voucher(REFUSE, "east ::1") != voucher(REFUSE, "west 10.0.0.1")
    assert voucher(Authentication.CLAIMED, "10.0.0.1:5") == voucher(Authentication.CLAIMED, "10.0.0.2:5")
    assert voucher(Authentication.CLAIMED, "east") != voucher(Authentication.DTLS, "east")


def test_only_a_bound_product_is_enough_for_a_valve() -> None:
    assert {FIRST, ACCEPT} == WEAK & PUSHED
