from pathlib import Path

from deploy.supervision.log_file import LogFile


def test_it_keeps_the_newest_and_is_bounded(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "a.log", max_bytes=100, kept=2)
    for number in range(100):
        log.write(f"line {number:04d}\n".encode())
    files = sorted(tmp_path.iterdir())
    assert [file.name for file in files] == ["a.log", "a.log.1", "a.log.2"]
    assert all(file.stat().st_size <= 100 for file in files)
    assert "line 0099" in (tmp_path / "a.log").read_text()


def test_it_goes_on_where_an_earlier_run_ended(tmp_path: Path) -> None:
    for word in (b"first\n", b"second\n"):
        log = LogFile(tmp_path / "a.log")
        log.write(word)
        log.close()
    assert (tmp_path / "a.log").read_text() == "first\nsecond\n"
