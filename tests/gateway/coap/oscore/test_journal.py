"""The file of replay windows: what is believed after which end."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.coap.oscore import journal as module
from gateway.coap.oscore.journal import Journal, read_boot_id
from gateway.coap.oscore.windows import Seen, Windows
from metering.errors import StartError

METER, BOOT, NEXT_BOOT = b"12345678", b"a" * 16, b"b" * 16


def opened(directory: Path, boot: bytes = BOOT, worker: int = 0, workers: int = 1) -> tuple[Journal, Windows]:
    windows = Windows()
    return Journal(directory, worker, workers, windows, boot), windows


def written(directory: Path, cleanly: bool, workers: int = 1) -> None:
    """A meter's number 5 was taken, then the process ended."""
    journal, windows = opened(directory, workers=workers)
    journal.note(windows.open(METER, 5))
    journal.flush()
    if cleanly:
        journal.close()
    else:
        journal.release()


@pytest.mark.parametrize(
    ("cleanly", "boot", "expected"),
    [
        (True, BOOT, Seen.YES),
        (True, NEXT_BOOT, Seen.YES),
        (False, BOOT, Seen.YES),
        (False, NEXT_BOOT, Seen.UNKNOWN),
        (False, bytes(16), Seen.UNKNOWN),
    ],
)
def test_a_file_is_believed_unless_the_machine_went_down(
    tmp_path: Path, cleanly: bool, boot: bytes, expected: Seen
) -> None:
    written(tmp_path, cleanly)
    journal, windows = opened(tmp_path, boot)
    assert (windows.look(windows.find(METER), 5), journal.believed) == (expected, expected is Seen.YES)
    journal.release()


def test_a_file_that_was_believed_once_is_not_believed_after_a_power_loss(tmp_path: Path) -> None:
    written(tmp_path, cleanly=True)
    opened(tmp_path)[0].release()  # ran, and the machine went down
    journal, _ = opened(tmp_path, NEXT_BOOT)
    assert not journal.believed
    journal.release()


@pytest.mark.parametrize("damage", [b"", b"short", b"x" * 200])
def test_a_damaged_file_is_not_believed(tmp_path: Path, damage: bytes) -> None:
    (tmp_path / "oscore-windows-0").write_bytes(damage)
    journal, windows = opened(tmp_path)
    assert (journal.believed, len(windows)) == (False, 0)
    journal.release()


def test_a_record_that_is_cut_was_never_answered(tmp_path: Path) -> None:
    written(tmp_path, cleanly=False)
    path = tmp_path / "oscore-windows-0"
    path.write_bytes(path.read_bytes() + b"cut")
    journal, windows = opened(tmp_path)
    assert windows.look(windows.find(METER), 5) is Seen.YES
    journal.release()


def test_another_number_of_workers_begins_anew(tmp_path: Path) -> None:
    written(tmp_path, cleanly=True, workers=2)
    opened(tmp_path, worker=1, workers=2)[0].close()
    journal, windows = opened(tmp_path, workers=1)
    assert len(windows) == 0
    assert not (tmp_path / "oscore-windows-1").exists()
    journal.close()
    journal, windows = opened(tmp_path, worker=0, workers=2)
    assert len(windows) == 0
    journal.release()


def test_two_processes_do_not_write_one_file(tmp_path: Path) -> None:
    journal, _ = opened(tmp_path)
    with pytest.raises(StartError, match="another gateway"):
        opened(tmp_path)
    journal.release()
    with pytest.raises(StartError, match="No such file"):
        opened(tmp_path / "none")


def test_a_disk_that_takes_nothing_leaves_no_old_windows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path, cleanly=True)
    journal, windows = opened(tmp_path)
    windows.mark(0, 6)
    journal.note(0)

    def full(file: int, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(module.os, "write", full)
        journal.flush()
    assert journal.failures == 1
    assert not (tmp_path / "oscore-windows-0").exists()
    journal.note(0)
    journal.flush()
    journal.close()
    again, windows = opened(tmp_path)
    assert windows.look(windows.find(METER), 6) is Seen.UNKNOWN
    again.release()


def test_a_long_file_is_written_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_JOURNAL_BYTES", 1000)
    journal, windows = opened(tmp_path)
    windows.open(METER, 0)
    for number in range(1, 500):
        windows.mark(0, number)
        journal.note(0)
        journal.flush()
    assert journal.bytes <= 1020
    journal.release()
    again, windows = opened(tmp_path)
    assert windows.look(windows.find(METER), 499) is Seen.YES
    again.release()


def test_the_boot_id_is_the_kernels() -> None:
    assert len(read_boot_id()) == 16
    assert read_boot_id() == read_boot_id()
