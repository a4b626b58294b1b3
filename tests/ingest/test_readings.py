from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ingest.installations import Device
from ingest.pipeline import conclude
from ingest.placing import Placed, Segment
from ingest.readings import HighWaterMarks, judge, newest_readings, tabulate
from metering.envelope import Report
from metering.model import Authentication, DecodedReport, DeviceState, Door, Outcome, ReadingKind

Rows = list[tuple[int, int, int]]


def placed(rows: Rows) -> Placed:
    """A report with these (meter, time, index), a segment for each run of one meter."""
    segments = [Segment(meter, [ts], [index], ts, ts) for meter, ts, index in rows]
    return Placed(
        Report(bytes(16), 0, Door.COAP, Authentication.CLAIMED, "1001", 60, b"", ""), "x",
        DecodedReport(DeviceState(), [], []), Device(1, "1001", ()), 1, 0, ReadingKind.HOURLY, tuple(segments),
    )  # fmt: skip


readings = st.lists(st.tuples(st.integers(1, 3), st.integers(0, 4), st.integers(0, 2)), max_size=6)
databases = st.dictionaries(st.tuples(st.integers(1, 3), st.integers(0, 4)), st.integers(0, 2), max_size=8)


@given(st.lists(readings, max_size=5), databases)
def test_it_judges_as_a_loop_over_the_readings_would(batch: list[Rows], database: dict[tuple[int, int], int]) -> None:
    table = tabulate([placed(rows) for rows in batch])
    leaders = np.flatnonzero(table.leader)
    keys = list(zip(table.meter_id[leaders].tolist(), table.ts_s[leaders].tolist(), strict=True))
    existing = np.array([key in database for key in keys], np.bool_)
    existing_ml = np.array([database.get(key, 0) for key in keys], np.int64)
    verdict = judge(table, leaders, existing, existing_ml)

    after, new, conflicts = dict(database), [0] * len(batch), [0] * len(batch)
    for position, rows in enumerate(batch):
        for meter, ts, index in rows:
            if (meter, ts) not in after:
                after[meter, ts] = index
                new[position] += 1
            elif after[meter, ts] != index:
                conflicts[position] += 1
    ended = conclude([placed(rows) for rows in batch], table, verdict)
    assert [end.stored for end in ended] == new
    assert [end.outcome is Outcome.PARTIAL for end in ended] == [n > 0 for n in conflicts]
    stored = zip(
        table.meter_id[verdict.stored], table.ts_s[verdict.stored], table.index_ml[verdict.stored], strict=True
    )
    assert database | {(int(m), int(t)): int(i) for m, t, i in stored} == after
    assert np.array_equal(np.lexsort((table.kind, table.ts_s, table.meter_id)), np.arange(len(table)))


@given(st.lists(readings, max_size=5), st.integers(1, 3))
def test_the_newest_reading_is_the_one_a_loop_would_find(batch: list[Rows], meter: int) -> None:
    last_s, index_ml = newest_readings(tabulate([placed(rows) for rows in batch]), [meter] * len(batch))
    of_meter = [[(ts, index) for of, ts, index in rows if of == meter] for rows in batch]
    assert last_s == [max(rows)[0] if rows else None for rows in of_meter]
    found = zip(of_meter, index_ml, strict=True)
    assert all(max(rows)[1] == index for rows, index in found if rows)


def test_a_mark_vouches_only_for_what_comes_later() -> None:
    marks = HighWaterMarks(limit=5_000)
    meters = np.array([1, 4_000, 6_000], np.int64)
    assert marks.unknown(meters).tolist() == [1, 4_000]
    assert marks.certainly_new(meters, np.array([9, 9, 9])).tolist() == [False, False, False]
    marks.set(np.array([1, 4_000]), np.array([8, 9]))
    assert marks.certainly_new(meters, np.array([9, 9, 9])).tolist() == [True, False, False]
    marks.raise_to(np.array([1, 1, 2]), np.array([12, 10, 99]))
    assert marks.certainly_new(np.array([1, 1, 2]), np.array([12, 13, 100])).tolist() == [False, True, False]
    assert marks.unknown(np.array([1, 2])).tolist() == [2]
    marks.clear()
    assert marks.unknown(meters).tolist() == [1, 4_000]
