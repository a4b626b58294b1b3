"""Files of recorded readings: what is read, what is refused with its line, and the reports a day becomes."""

from pathlib import Path

import pytest

from ingest.decoders import decode
from simulators.local_time import DAY_S, UTC_OFFSET_S
from simulators.recording import Recorded, RecordingError, days, encode, read, serials_of, wire_of
from simulators.replay_check import expected_days

MIDNIGHT_S = 1_767_196_800  # 2026-01-01 00:00 in China


def written(tmp_path: Path, *rows: str, header: str = "meter_id,ts,index_l") -> Path:
    file = tmp_path / "readings.csv"
    file.write_text("\n".join((header, *rows)) + "\n")
    return file


def test_times_are_local_and_rows_in_any_order(tmp_path: Path) -> None:
    rows = ("M2,2026-01-01T01:00:00,5", "M1,2026-01-01 01:00,11", "M1,2026-01-01 00:00,10", "M1,2026-01-01 00:00,10")
    first, second = read(written(tmp_path, *rows), "Asia/Shanghai")
    assert (first.meter_id, first.serial, first.ts_s) == ("M1", "100000000001", [MIDNIGHT_S, MIDNIGHT_S + 3_600])
    assert first.index_l == [10, 11]
    assert (second.meter_id, second.serial) == ("M2", "100000000002")


def test_a_time_with_its_offset_is_taken_as_it_stands(tmp_path: Path) -> None:
    rows = ("M1,2026-01-01T00:00+08:00,1", "M1,2025-12-31T17:00Z,2", "M1,2025-12-31 19:00:00+01:00,3")
    (recording,) = read(written(tmp_path, *rows), "Europe/Berlin")
    assert recording.ts_s == [MIDNIGHT_S, MIDNIGHT_S + 3_600, MIDNIGHT_S + 7_200]


def test_a_zone_with_summer_time_is_taken_without_it(tmp_path: Path) -> None:
    (summer,) = read(written(tmp_path, "M1,2026-07-01 00:00,1"), "Europe/Berlin")
    assert summer.ts_s == [1_782_860_400]  # 2026-06-30 23:00 UTC


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (["M1,yesterday,1"], "line 2: 'M1,yesterday,1': the time 'yesterday' is not written like 2026-01-31 23:00,"),
        (["M1,2026-01-01,1"], "line 2: .*the time '2026-01-01' is not"),
        (["M1,2026-01-01 00:00X,1"], "line 2: .*the time '2026-01-01 00:00X' is not"),
        (["M1,2026-01-01 00:00,1", "M1,2026-01-01 01:00,1.5"], "line 3"),
        (["M1,2026-01-01 00:00"], "line 2"),
        (["M1,2026-01-01 00:00,1", "M1,2026-01-01 00:00,2"], "line 3: meter M1 has two indices"),
        ([], "no readings"),
    ],
)
def test_what_cannot_be_played_is_named(tmp_path: Path, rows: list[str], said: str) -> None:
    with pytest.raises(RecordingError, match=said):
        read(written(tmp_path, *rows), "Asia/Shanghai")


def test_another_header_or_zone_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="the header is"):
        read(written(tmp_path, header="meter,ts,index"), "Asia/Shanghai")
    with pytest.raises(RecordingError, match="not an IANA"):
        read(written(tmp_path, "M1,2026-01-01 00:00,1"), "Asia/Nowhere")


def test_serials_keep_the_digits_where_those_tell_ids_apart() -> None:
    assert serials_of(["M100093", "M7"]) == {"M100093": "100000100093", "M7": "100000000007"}
    assert serials_of(["a1", "b1"]) == {"a1": "100000000000", "b1": "100000000001"}


@pytest.mark.parametrize("number", range(3))
def test_every_format_says_the_same(tmp_path: Path, number: int) -> None:
    rows = [f"M1,2026-01-0{1 + hour // 24} {hour % 24:02d}:00,{100 + hour}" for hour in range(30)]
    (recording,) = read(written(tmp_path, *rows), "Asia/Shanghai")
    played: dict[int, int] = {}
    for day, readings in days(recording):
        assert day == (readings[0][0] + UTC_OFFSET_S) // DAY_S
        for content_format, payload in encode(recording, wire_of(Recorded.MIXED, number), 1 + day, readings):
            _, report = decode(content_format, payload, recording.ts_s[-1] + 3_600)
            played |= dict(zip(report.ts_s, report.index_ml, strict=True))
    assert played == {ts: litres * 1_000 for ts, litres in zip(recording.ts_s, recording.index_l, strict=True)}


@pytest.mark.parametrize(
    ("first_s", "last_s", "expected"),
    [
        (MIDNIGHT_S, MIDNIGHT_S, 0),
        (MIDNIGHT_S, MIDNIGHT_S + 1, 1),
        (MIDNIGHT_S, MIDNIGHT_S + DAY_S, 1),
        (MIDNIGHT_S - 1, MIDNIGHT_S + DAY_S + 1, 3),
    ],
)
def test_days_that_have_water_in_them(first_s: int, last_s: int, expected: int) -> None:
    assert expected_days(first_s, last_s) == expected
