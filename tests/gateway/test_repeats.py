from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.repeats import EXCHANGE_LIFETIME_S, RepeatMemory


def key(n: int) -> tuple[str, int, bytes]:
    return f"dev{n}", 60, n.to_bytes(8, "big")


def test_remembers_for_one_exchange_lifetime() -> None:
    memory = RepeatMemory(64)
    assert not memory.recalls(key(1), 1000.0)
    memory.remember(key(1), 1000.0)
    assert memory.recalls(key(1), 1000.0 + EXCHANGE_LIFETIME_S - 1)
    assert not memory.recalls(key(1), 1000.0 + EXCHANGE_LIFETIME_S + 1)


def test_device_format_and_content_all_count() -> None:
    memory = RepeatMemory(64)
    memory.remember(("a", 60, b"x"), 0.0)
    assert memory.recalls(("a", 60, b"x"), 1.0)
    assert not any(memory.recalls(other, 1.0) for other in [("b", 60, b"x"), ("a", 42, b"x"), ("a", 60, b"y")])


@settings(deadline=None)
@given(st.sets(st.integers(0, 1000), min_size=1, max_size=300))
def test_memory_is_bounded_and_never_invents(numbers: set[int]) -> None:
    memory = RepeatMemory(64)
    for n in sorted(numbers):
        memory.remember(key(n), n / 1000)
    recalled = {n for n in range(1001) if memory.recalls(key(n), 2.0)}
    assert recalled <= numbers
    assert len(recalled) <= memory.capacity == 64
    assert len(recalled) == len(numbers) - memory.evictions


def test_a_full_set_forgets_its_oldest() -> None:
    memory = RepeatMemory(4)
    for n in range(5):
        memory.remember(key(n), float(n))
    assert [memory.recalls(key(n), 5.0) for n in range(5)] == [False, True, True, True, True]
    assert memory.evictions == 1
