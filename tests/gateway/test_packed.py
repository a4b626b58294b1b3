from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.packed import PackedKeys


@given(st.lists(st.binary(max_size=3)))
def test_strings_are_numbered_as_they_came(keys: list[bytes]) -> None:
    packed, numbers = PackedKeys(), dict[bytes, int]()
    for key in keys:
        assert packed.add(key) == numbers.setdefault(key, len(numbers))
    for key, number in numbers.items():
        assert (packed.find(key), packed[number]) == (number, key)
    assert len(packed) == len(numbers)
    assert packed.find(b"none has four") == -1


def test_it_grows_beyond_what_was_expected() -> None:
    packed = PackedKeys(expected=10)
    keys = [b"%d" % number for number in range(20_000)]
    assert [packed.add(key) for key in keys] == list(range(20_000))
    assert [packed.find(key) for key in keys] == list(range(20_000))
