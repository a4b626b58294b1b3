"""The table of failed logins: waits grow, time forgives, size is bounded."""

from __future__ import annotations

from api.throttle import FORGET_AFTER_S, FREE_FAILURES_PER_LOGIN, LONGEST_WAIT_S, LoginThrottle


def fail(throttle: LoginThrottle, times: int, login: str = "a", address: str = "192.0.2.1", now_s: float = 0.0) -> None:
    for _ in range(times):
        throttle.failed(login, address, now_s)


def test_waits_double_up_to_a_limit() -> None:
    throttle = LoginThrottle()
    fail(throttle, FREE_FAILURES_PER_LOGIN - 1)
    assert throttle.wait_s("a", "x", 0) == 0
    waits = []
    for _ in range(12):
        fail(throttle, 1)
        waits.append(throttle.wait_s("a", "x", 0))
    assert waits[:4] == [2, 4, 8, 16]
    assert waits[-1] == LONGEST_WAIT_S


def test_time_forgives() -> None:
    throttle = LoginThrottle()
    fail(throttle, 50)
    assert throttle.wait_s("a", "x", LONGEST_WAIT_S + 1) == 0
    throttle.failed("a", "192.0.2.1", FORGET_AFTER_S + 1)
    assert throttle.wait_s("a", "192.0.2.1", FORGET_AFTER_S + 1) == 0


def test_a_success_forgives_the_login_but_not_the_address() -> None:
    throttle = LoginThrottle()
    fail(throttle, 50)
    throttle.succeeded("a", "192.0.2.1")
    assert throttle.wait_s("a", "x", 0) == 0
    assert throttle.wait_s("b", "192.0.2.1", 0) > 0


def test_a_holder_of_many_addresses_counts_as_one() -> None:
    throttle = LoginThrottle()
    for number in range(50):
        throttle.failed(f"user{number}", f"2001:db8::{number:x}", 0)
    assert throttle.wait_s("other", "2001:db8::ffff:1", 0) > 0
    assert throttle.wait_s("other", "2001:db8:0:1::1", 0) == 0


def test_an_ipv4_address_inside_ipv6_is_the_ipv4_address() -> None:
    throttle = LoginThrottle()
    for number in range(50):
        throttle.failed(f"user{number}", "::ffff:192.0.2.1", 0)
    assert throttle.wait_s("other", "192.0.2.1", 0) > 0
    assert throttle.wait_s("other", "::ffff:192.0.2.2", 0) == 0


def test_the_table_is_bounded() -> None:
    throttle = LoginThrottle(max_entries=100)
    for number in range(1000):
        throttle.failed(f"user{number}", f"192.0.{number // 250}.{number % 250}", number)
    assert len(throttle) == 100
