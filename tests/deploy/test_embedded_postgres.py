from pathlib import Path

from deploy.embedded.postgres import let_traverse


def test_only_closed_folders_are_opened_for_passing_and_they_are_named(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    inner = closed / "open"
    inner.mkdir(parents=True)
    let_traverse(tmp_path / "x")
    closed.chmod(0o700)
    inner.chmod(0o755)
    assert let_traverse(inner / "postgres") == [closed]
    assert closed.stat().st_mode & 0o777 == 0o701
    assert let_traverse(inner / "postgres") == []
