"""CSV that a spreadsheet opens without running anything in it."""

from __future__ import annotations

import csv
import io

import pytest

from api.csv_table import csv_answer, csv_text


@pytest.mark.parametrize("evil", ["=1+1", "+1", "-1", "@x", "\t=1", "\r=1", "  =cmd|' /C calc'!A0", "＝1"])
def test_formulas_are_only_text(evil: str) -> None:
    (_, (cell,)) = csv.reader(io.StringIO(csv_text(["a"], [[evil]])))
    assert cell.startswith("'")


def test_numbers_stay_numbers() -> None:
    assert csv_text(["a", "b", "c"], [[-5, None, "龙港,1"]]) == 'a,b,c\r\n-5,,"龙港,1"\r\n'


def test_a_file_name_is_plain() -> None:
    answer = csv_answer('x"\r\nSet-Cookie: a=b;../', ["a"], [])
    assert answer.headers["content-disposition"] == 'attachment; filename="x_Set-Cookie_a_b_.._.csv"'
