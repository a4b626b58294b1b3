"""Lines of CSV are those that Python would write."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from simulators.city import rows
from simulators.local_time import local_text

numbers = st.lists(st.integers(-(10**15), 10**15), min_size=1, max_size=20)


@given(numbers)
def test_integers_of_any_size_in_one_column(values):
    assert rows.lines(rows.integers(np.array(values))) == "".join(f"{value}\n" for value in values).encode()


@given(st.lists(st.integers(0, 4_000_000_000), min_size=1, max_size=20))
def test_instants_in_local_time(values):
    expected = "".join(f"{local_text(value)}\n" for value in values).encode()
    assert rows.lines(rows.instants(np.array(values))) == expected


def test_columns_stand_beside_each_other_and_rows_are_chosen():
    names = rows.texts(["M1", "M2", "M3"])
    chosen = names.of(np.array([0, 2]))
    assert rows.hour_lines(chosen, 1_704_038_400, np.array([7, 1234])) == (
        b"M1,2024-01-01 00:00:00,7\nM3,2024-01-01 00:00:00,1234\n"
    )
    assert rows.lines(rows.same("a", 0), rows.integers(np.zeros(0, np.int64))) == b""
