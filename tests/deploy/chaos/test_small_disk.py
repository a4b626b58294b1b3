"""A disk that is full and empty again, in a process of its own: the mount must be seen by nobody else."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.chaos import small_disk

ROOT = Path(__file__).parents[3]
SCRIPT = """
import errno, os, sys, threading
from contextlib import suppress
from pathlib import Path
from deploy.chaos.small_disk import SmallDisk
from metering.errors import StartError
try:
    Path(sys.argv[1]).mkdir()
    disk = SmallDisk(Path(sys.argv[1]))
except StartError as error:
    sys.exit(f"IMPOSSIBLE {error}")
(disk.path / "before").write_bytes(b"x" * 100_000)
def write_on():
    with suppress(OSError), (disk.path / "growing").open("wb", buffering=0) as file:
        while True:
            file.write(b"x" * 5000)
writer = threading.Thread(target=write_on)
writer.start()
disk.fill()
writer.join(60)
try:
    (disk.path / "more").write_bytes(b"x" * 1_000_000)
except OSError as error:
    assert error.errno == errno.ENOSPC, error
else:
    sys.exit("it was not full")
disk.empty()
(disk.path / "more").write_bytes(b"x" * 1_000_000)
assert (disk.path / "before").read_bytes() == b"x" * 100_000
print(os.path.ismount(disk.path))
if sys.argv[2] == "unmount":
    disk.unmount()
    print(os.path.ismount(disk.path))
"""


@pytest.mark.parametrize("end", ["unmount", "die"])
def test_it_is_full_and_empty_again_and_leaves_nothing(tmp_path, end):
    place = tmp_path / "disk"
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(place), end], cwd=ROOT, capture_output=True, text=True, timeout=120,
        check=False,
    )  # fmt: skip
    if "IMPOSSIBLE" in done.stderr:
        pytest.skip(f"NOT RUN: {done.stderr.strip()}")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split() == (["True", "False"] if end == "unmount" else ["True"])
    assert list(place.iterdir()) == []
    assert not os.path.ismount(place)


def test_without_root_it_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(small_disk.StartError, match="root"):
        small_disk.SmallDisk(tmp_path / "disk")
