"""Parquet of a billing period: typed, written group by group, refused in words where its library is absent."""

from __future__ import annotations

import io
import sys
from collections.abc import AsyncIterator
from datetime import date

import pyarrow as pa
import pytest
from pyarrow import parquet

from api import billing_parquet
from api.billing_parquet import parquet_parts, require_arrow
from api.queries.billing_lines import BillingLine
from metering.errors import RequestError

FIRST, LAST = date(2026, 3, 1), date(2026, 3, 31)


def line(number: int, reasons: str = "", meter_index_ml: int | None = None) -> BillingLine:
    return BillingLine(
        "2026-03", "closed", "龙港", number, f"=customer {number}", "街道 1", f"{number:012d}", number, 1, FIRST, LAST,
        number * 1_000, number * 1_000 + 310_000, 310_000, 310_000, -5, 0, "estimated" if reasons else "measured",
        reasons, True, 31, 30, 0, 1, 0, 0, meter_index_ml,
    )  # fmt: skip


async def pages_of(*pages: list[BillingLine]) -> AsyncIterator[list[BillingLine]]:
    for page in pages:
        yield page


async def written(*pages: list[BillingLine]) -> list[bytes]:
    return [part async for part in parquet_parts(pages_of(*pages))]


async def test_each_column_has_its_type_and_comes_back_as_it_was() -> None:
    lines = [line(1), line(2, "gap long_gap", 312_000)]
    table = parquet.read_table(io.BytesIO(b"".join(await written(lines, []))))
    types = {field.name: field.type for field in table.schema}
    assert types["billed_ml"] == types["meter_index_ml"] == pa.int64()
    assert types["first_day"] == pa.date32()
    assert types["quality"] == pa.dictionary(pa.int8(), pa.string())
    assert types["reasons"] == pa.list_(pa.string()) or types["reasons"].value_type == pa.string()
    assert [field.name for field in table.schema if field.nullable] == ["meter_index_ml"]
    rows = table.to_pylist()
    assert rows[0]["customer"] == "=customer 1"  # nobody runs a formula in it: as it is in the register
    assert [row["reasons"] for row in rows] == [[], ["gap", "long_gap"]]
    assert [row["meter_index_ml"] for row in rows] == [None, 312_000]
    assert (rows[1]["quality"], rows[1]["complete"], rows[1]["last_day"]) == ("estimated", True, LAST)


async def test_a_period_without_lines_is_a_file_with_columns() -> None:
    table = parquet.read_table(io.BytesIO(b"".join(await written())))
    assert (table.num_rows, "billed_ml" in table.column_names) == (0, True)


async def test_groups_leave_as_they_are_full(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(billing_parquet, "GROUP_ROWS", 20)
    parts = await written(*([line(10 * page + n) for n in range(10)] for page in range(7)))
    assert len(parts) == 4
    assert all(parts)
    file = parquet.ParquetFile(io.BytesIO(b"".join(parts)))
    assert [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)] == [20, 20, 20, 10]
    assert file.read()["installation_id"].to_pylist() == list(range(70))


async def test_without_its_library_it_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(RequestError, match=r"nbwater\[parquet\]"):
        require_arrow()
