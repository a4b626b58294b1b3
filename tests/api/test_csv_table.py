"""CSV that a spreadsheet opens without running anything in it."""

from __future__ import annotations

import csv
import io

import pytest

from api.csv_table import attachment, csv_answer, csv_text


@pytest.mark.parametrize("evil", ["=1+1", "+1", "-1", "@x", "\t=1", "\r=1", "  =cmd|' /C calc'!A0", "＝1"])
def test_formulas_are_only_text(evil: str) -> None:
    (_, (cell,)) = csv.reader(io.StringIO(csv_text(["a"], [[evil]])))
    assert cell.startswith("'")


def test_numbers_stay_numbers() -> None:
    assert csv_text(["a", "b", "c"], [[-5, None, "龙港,1"]]) == 'a,b,c\r\n-5,,"龙港,1"\r\n'


def test_a_file_name_is_given_plain_and_in_full() -> None:
    answer = csv_answer('x"\r\nSet-Cookie: a=b;../', ["a"], [])
    plain, full = answer.headers["content-disposition"].split("; filename*=UTF-8''")
    assert plain == 'attachment; filename="x_Set-Cookie_a_b_.._.csv"'
    assert full == "x_Set-Cookie_%20a%3Db%3B.._.csv"
    assert attachment("billing-2026-03.csv") == {"Content-Disposition": 'attachment; filename="billing-2026-03.csv"'}


def test_chinese_is_marked_for_excel_and_plain_files_stay_plain() -> None:
    assert csv_answer("a", ["zone"], [["龙港"]]).body.decode() == "\ufeffzone\r\n龙港\r\n"
    assert csv_answer("a", ["zone"], [["LG"]]).body.decode() == "zone\r\nLG\r\n"
