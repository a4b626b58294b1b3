"""A billing period as Parquet, with typed columns: for programs that compute with it.

Volumes are int64 in millilitres, days are dates, the quality is a dictionary of words and its reasons are a list.
Written as it is read: memory holds one group of rows, however many meters there are. Needs pyarrow, which comes with
``pip install 'nbwater[parquet]'`` and which nothing else needs.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import fields
from datetime import date
from importlib.util import find_spec
from types import ModuleType, UnionType
from typing import Any, get_args, get_type_hints

from api.queries.billing_lines import BillingLine
from metering.errors import RequestError

GROUP_ROWS = 50_000
"""Rows of a group, about: pages are gathered until there are so many. Readers skip, and share work, by groups."""
COMPRESSION = "zstd"

Pages = AsyncIterator[list[BillingLine]]


class _Sink:
    """What a Parquet writer writes to: it only ever appends, so that what came can be sent on."""

    closed = False

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def write(self, data: Any) -> int:
        self._parts.append(bytes(data))
        return len(self._parts[-1])

    def flush(self) -> None:
        """Nothing waits here."""

    def close(self) -> None:
        """The writer ends its file; what it wrote stays to be taken."""

    def take(self) -> bytes:
        """What was written since the last time."""
        taken = b"".join(self._parts)
        self._parts.clear()
        return taken


def require_arrow() -> None:
    """Raises RequestError where pyarrow is not installed; to be called before an answer is begun."""
    _arrow()


async def parquet_parts(pages: Pages) -> AsyncIterator[bytes]:
    """The file, a part for each group of rows. Raises RequestError where pyarrow is not installed."""
    arrow, parquet = _arrow()
    schema = _schema(arrow)
    sink = _Sink()
    with parquet.ParquetWriter(arrow.PythonFile(sink, mode="w"), schema, compression=COMPRESSION) as writer:
        batches, rows = [], 0
        async for lines in pages:
            if lines:
                batches.append(_batch(arrow, schema, lines))
                rows += len(lines)
            if rows >= GROUP_ROWS:
                writer.write_table(arrow.Table.from_batches(batches, schema))
                batches, rows = [], 0
                yield sink.take()
        if batches:
            writer.write_table(arrow.Table.from_batches(batches, schema))
    yield sink.take()


def available() -> bool:
    """Whether pyarrow is installed; does not import it."""
    return find_spec("pyarrow") is not None


def _arrow() -> tuple[ModuleType, ModuleType]:
    """Imported when it is needed first: it may be absent, and it costs every process that has it 60 MB."""
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise RequestError(
            "Parquet needs pyarrow: pip install 'nbwater[parquet]'; CSV and XLSX need nothing"
        ) from error
    return pyarrow, parquet


def _schema(arrow: ModuleType) -> Any:
    """Names and order of `BillingLine`; nullable is what may be None there."""
    plain: dict[type, Callable[[], Any]] = {str: arrow.string, int: arrow.int64, bool: arrow.bool_, date: arrow.date32}
    special = {
        "state": arrow.dictionary(arrow.int8(), arrow.string()),
        "quality": arrow.dictionary(arrow.int8(), arrow.string()),
        "reasons": arrow.list_(arrow.string()),
    }
    hints = get_type_hints(BillingLine)
    columns = []
    for name in _NAMES:
        kind = hints[name]
        optional = isinstance(kind, UnionType)
        known = special.get(name) or plain[get_args(kind)[0] if optional else kind]()
        columns.append(arrow.field(name, known, nullable=optional))
    return arrow.schema(columns)


def _batch(arrow: ModuleType, schema: Any, lines: list[BillingLine]) -> Any:
    columns = []
    for field in schema:
        cells: list[Any] = [getattr(line, field.name) for line in lines]
        if field.name == "reasons":
            cells = [cell.split() for cell in cells]
        columns.append(arrow.array(cells, field.type))
    return arrow.RecordBatch.from_arrays(columns, schema=schema)


_NAMES = tuple(field.name for field in fields(BillingLine))
