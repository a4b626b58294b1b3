from pathlib import Path

import pytest

from deploy import instance
from deploy.instance import Lock
from metering.errors import StartError


def test_a_platform_that_starts_is_told_from_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NBWATER_DATABASE_URL", raising=False)
    with pytest.raises(StartError, match="nothing runs on"):
        instance.database_url(tmp_path)
    lock = Lock(tmp_path)
    lock.take()
    with pytest.raises(StartError, match="is starting or stopping"):
        instance.database_url(tmp_path)
    lock.release()
