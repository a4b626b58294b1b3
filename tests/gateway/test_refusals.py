from __future__ import annotations

import ipaddress

from gateway.refusals import RefusalLimiter, prefix_of


def address(text: str) -> int:
    parsed = ipaddress.ip_address(text)
    return int(parsed) | (0xFFFF << 32 if parsed.version == 4 else 0)


def test_prefixes() -> None:
    assert prefix_of(address("10.1.2.3")) == prefix_of(address("10.1.2.200"))
    assert prefix_of(address("10.1.2.3")) != prefix_of(address("10.1.3.3"))
    assert prefix_of(address("2001:db8::1")) == prefix_of(address("2001:db8::ffff:1"))
    assert prefix_of(address("2001:db8::1")) != prefix_of(address("2001:db8:0:1::1"))


def test_a_prefix_gets_its_burst_and_then_its_rate() -> None:
    limiter = RefusalLimiter(10)
    source = address("10.0.0.1")
    assert sum(limiter.allow(source, 0.0) for _ in range(100)) == 20
    assert sum(limiter.allow(source, 1.0) for _ in range(100)) == 10
    assert limiter.allow(address("10.0.1.1"), 1.0)


def test_the_table_is_bounded_and_swept_at_most_once_a_second() -> None:
    limiter = RefusalLimiter(1, max_prefixes=100)
    assert all(limiter.allow(address(f"10.0.{n}.1"), 0.0) for n in range(100))
    assert not limiter.allow(address("10.1.0.1"), 0.5)  # all are busy still
    assert not limiter.allow(address("10.1.0.1"), 1.4)  # no second sweep within the second
    assert limiter.allow(address("10.0.5.1"), 1.4)  # a known prefix is not hurt
    assert limiter.allow(address("10.1.0.1"), 2.5)
    assert len(limiter) <= 100


def test_who_only_looks_takes_nothing() -> None:
    limiter = RefusalLimiter(1)
    source = address("10.0.0.1")
    assert all(limiter.would_allow(source, 0.0) for _ in range(100))
    assert len(limiter) == 0
    while limiter.allow(source, 0.0):
        assert limiter.would_allow(address("10.0.1.1"), 0.0)
    assert [limiter.would_allow(source, now) for now in (0.0, 0.9, 1.0)] == [False, False, True]
    assert limiter.allow(source, 1.0)
